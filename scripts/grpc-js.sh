#!/usr/bin/env bash
# Installs the versions of grpc-js in grpc-js.json into .tools/grpc-js, with npm.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.tools/grpc-js
if cmp -s scripts/grpc-js.json "$tools/installed.json"; then
  exit 0
fi
rm -rf "$tools"
mkdir -p "$tools"
cp scripts/grpc-js.json "$tools/package.json"
npm install --prefix "$tools" --no-audit --no-fund --silent
# Another list installs it anew.
cp scripts/grpc-js.json "$tools/installed.json"
