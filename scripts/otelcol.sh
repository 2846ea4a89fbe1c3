#!/usr/bin/env bash
# Builds the real OpenTelemetry Collector, of the version and parts in otelcol.yaml, into .tools/otelcol.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^  version: //p' scripts/otelcol.yaml)
tools=$PWD/.tools
if [ -x "$tools/otelcol" ] && cmp -s scripts/otelcol.yaml "$tools/otelcol.yaml"; then
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$tools"
GOBIN=$work go install "go.opentelemetry.io/collector/cmd/builder@v$version"
cp scripts/otelcol.yaml "$work"
cd "$work"
# Its tidy step may fail on modules that only tests need; the sources are written all the same.
./builder --skip-compilation --config otelcol.yaml || true
cd otelcol
go build -mod=mod -trimpath -ldflags="-s -w" -o "$tools/otelcol" .
"$tools/otelcol" --version
# What it was built of: another list builds it anew.
cp "$work/otelcol.yaml" "$tools"
