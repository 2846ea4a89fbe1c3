#!/usr/bin/env bash
# All that is slow, as root on Debian: packages, image, manifests and site, each by its own
# script: scripts/ship.sh [STATIC [DYNAMIC]], programs as scripts/dist.sh builds them. What cannot be looked at for want of a
# tool is named at the end, and is a failure under CI=true; what fails ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
static=${1:-target/ship/statsfs-collector-static}
dynamic=${2:-target/ship/statsfs-collector-glibc}
left_out=()
name_left_out() {
  for line in "${left_out[@]}"; do
    echo "left out: $line" >&2
  done
}
trap name_left_out EXIT
part() { # part SCRIPT NEEDED ARGUMENTS…
  local script=$1 needed=$2
  shift 2
  for tool in $needed; do
    if ! command -v "$tool" >/dev/null && [ ! -x "$tool" ]; then
      left_out+=("$script: no $tool")
      return
    fi
  done
  echo "== $script"
  "scripts/$script" "$@"
}
part packages-test.sh "apt-get python3 go $dynamic" "$dynamic"
part container.sh "apt-get go python3 $static" "$static"
part kubernetes.sh "go python3"
part site.sh "python3"
if [ ${#left_out[@]} -gt 0 ]; then
  exit "$([ "${CI:-}" = true ] && echo 1 || echo 0)"
fi
echo "all of it holds"
