#!/usr/bin/env bash
# Whether the static program has the same bytes when it is built in another folder: half an hour, by hand, or half of that
# with PROFILE=release. What is committed is built.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "$(git status --porcelain)" ]; then
  echo "commit first: what is committed alone would be in the other folder" >&2
  exit 1
fi
other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
git clone -q . "$other/another/deeper"
for folder in . "$other/another/deeper"; do
  "$folder/scripts/dist.sh" static
done
cmp {.,"$other/another/deeper"}/target/ship/statsfs-collector-static
echo "the same bytes"
