#!/usr/bin/env bash
# Builds the real OpenTelemetry Collector, of the version and parts in otelcol.yaml, into .tools/otelcol; with
# `otelcol-benchmarks` that of otelcol-benchmarks.yaml, which only benchmarks need, into .tools/otelcol-benchmarks.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-otelcol}
list=scripts/$name.yaml
version=$(sed -n 's/^  version: //p' "$list")
tools=$PWD/.tools
if [ -x "$tools/$name" ] && cmp -s "$list" "$tools/$name.yaml"; then
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$tools"
GOBIN=$work go install "go.opentelemetry.io/collector/cmd/builder@v$version"
cp "$list" "$work/list.yaml"
cd "$work"
# Its tidy step may fail on modules that only tests need; the sources are written all the same.
./builder --skip-compilation --config list.yaml || true
cd otelcol
go build -mod=mod -trimpath -ldflags="-s -w" -o "$tools/$name" .
"$tools/$name" --version
# What it was built of: another list builds it anew.
cp "$work/list.yaml" "$tools/$name.yaml"
