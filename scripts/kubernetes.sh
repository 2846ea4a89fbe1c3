#!/usr/bin/env bash
# Checks deploy/kubernetes: what kustomize builds of it fits Kubernetes' own schemas, and kube-score finds nothing that is not
# explained there. It takes Go and Python; two minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.tools/kubernetes
[ -x "$tools/kustomize" ] || GOBIN=$tools go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
[ -x "$tools/kube-score" ] || GOBIN=$tools go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0
if [ ! -x "$tools/venv/bin/kubernetes-validate" ]; then
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install -q kubernetes-validate==1.37.0
fi
for directory in base overlays/plain overlays/kvm overlays/gcp gateway; do
  manifests=$tools/${directory//\//-}.yaml
  "$tools/kustomize" build "deploy/kubernetes/$directory" >"$manifests"
  "$tools/venv/bin/kubernetes-validate" --strict "$manifests"
  # A limit of CPU would hold a sweep up in the middle.
  "$tools/kube-score" score --ignore-container-cpu-limit --output-format ci "$manifests" | { ! grep -v '^\[\(OK\|SKIPPED\)\]'; }
done
