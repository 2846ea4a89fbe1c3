#!/usr/bin/env bash
# Checks deploy/kubernetes and deploy/helm: what kustomize and Helm make of it fits Kubernetes' own schemas, and kube-score finds
# nothing that is not explained there. It takes Go and Python; five minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.tools/kubernetes
[ -x "$tools/kustomize" ] || GOBIN=$tools go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
[ -x "$tools/helm" ] || GOBIN=$tools go install helm.sh/helm/v3/cmd/helm@v3.22.0
[ -x "$tools/kube-score" ] || GOBIN=$tools go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0
if [ ! -x "$tools/venv/bin/kubernetes-validate" ]; then
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install -q kubernetes-validate==1.37.0
fi
work=$PWD/target/kubernetes
rm -rf "$work"
mkdir -p "$work"
cp -r deploy "$work/"

check() { # check NAME, whose manifests are in $work/NAME.yaml
  "$tools/venv/bin/kubernetes-validate" --strict "$work/$1.yaml"
  # A limit of CPU would hold a sweep up in the middle.
  "$tools/kube-score" score --ignore-container-cpu-limit --output-format ci "$work/$1.yaml" | { ! grep -v '^\[\(OK\|SKIPPED\)\]'; }
}

# The overlay that the document tells a reader to write.
mkdir "$work/deploy/kubernetes/overlays/mine"
sed -n '/^ *```yaml kubernetes$/,/^ *```$/{/```/!s/^   //p}' deploy/kubernetes/README.md >"$work/deploy/kubernetes/overlays/mine/kustomization.yaml"
for directory in base overlays/plain overlays/kvm overlays/gcp overlays/mine gateway; do
  name=${directory//\//-}
  "$tools/kustomize" build "$work/deploy/kubernetes/$directory" >"$work/$name.yaml"
  check "$name"
done
grep -q 'image: registry.example/statsfs-collector:0.2.0$' "$work/overlays-mine.yaml"
grep -q 'value: otlp.example:4317$' "$work/overlays-mine.yaml"

helm() { # helm NAME VALUES…
  "$tools/helm" lint --quiet deploy/helm "${@:2}"
  "$tools/helm" template statsfs-collector deploy/helm --namespace statsfs-collector "${@:2}" >"$work/helm-$1.yaml"
  check "helm-$1"
}
is_config_of() { # is_config_of NAME DIRECTORY: what tests/kubernetes.rs shows to be valid
  "$tools/venv/bin/python" - "$work/helm-$1.yaml" <<'PYTHON' | cmp - "deploy/kubernetes/$2/config.yaml"
import sys, yaml
for manifest in yaml.safe_load_all(open(sys.argv[1])):
    if manifest["kind"] == "ConfigMap":
        sys.stdout.write(manifest["data"]["config.yaml"])
PYTHON
}
helm base
is_config_of base base
helm kvm --set kvm=true
is_config_of kvm overlays/kvm
helm mine --set image.repository=registry.example/statsfs-collector --set endpoint=otlp.example:4317,insecure=false,clusterName=east
helm config --set-json 'config={"receivers": {"kvm": {}}}' --set-json 'ports=[443]' --set-json 'resources={"limits": {"memory": "64Mi"}}'
