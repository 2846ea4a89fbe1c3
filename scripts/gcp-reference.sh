#!/usr/bin/env bash
# Builds Google's own exporter, with the input of exporters/gcp/benches/sweep.rs, into .tools/gcp-reference:
#   scripts/gcp-reference.sh && REFERENCE=$PWD/.tools/gcp-reference cargo bench -p statsfs-collector-exporter-gcp
set -euo pipefail
cd "$(dirname "$0")/gcp-reference"
mkdir -p ../../.tools
go build -trimpath -o ../../.tools/gcp-reference .
