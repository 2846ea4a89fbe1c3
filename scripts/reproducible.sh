#!/usr/bin/env bash
# Whether the static program has the same bytes when it is built in another folder: half an hour, by hand. What is committed
# is built.
set -euo pipefail
cd "$(dirname "$0")/.."
other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
for folder in one another/deeper; do
  git clone -q . "$other/$folder"
  "$other/$folder/scripts/dist.sh" static
done
cmp "$other"/{one,another/deeper}/target/ship/statsfs-collector-static
echo "the same bytes"
