#!/usr/bin/env bash
# What is shipped, into target/ship: scripts/dist.sh [static|glibc|aarch64|sbom|licenses]… (all but aarch64).
#   static   the C library linked in: any x86_64 Linux, containers from scratch
#   glibc    against glibc 2.17 of 2012, for the packages, by zig
#   aarch64  against glibc 2.28, by zig, where Rust has its standard library: `rustup target add aarch64-unknown-linux-gnu`
#   sbom     what is linked, as CycloneDX
#   licenses the texts of its licences
# It takes a quarter of an hour for each program, and Python but for `static`; PROFILE=release half of it.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- static glibc sbom licenses
profile=${PROFILE:-dist}
ship=$PWD/target/ship
mkdir -p "$ship"
cargo_home=${CARGO_HOME:-$HOME/.cargo}
# No path of this host is in a program, in what Rust and in what C compiles (ring, zstd, mimalloc): the same source gives the
# same bytes in each folder, which scripts/reproducible.sh shows.
flags="--remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo"
export CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

zig() {
  local tools=$PWD/.tools/zig
  if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install -q cargo-zigbuild==0.24.1 ziglang==0.17.1
  fi
  export PATH=$tools/bin:$PATH
}

build() { # build NAME COMMAND TARGET FLAGS
  local triple=${3%%.[0-9]*} directory=$PWD/target/ship-build/$1 below=$profile
  [ "$profile" != dev ] || below=debug
  RUSTFLAGS="$flags $4" CARGO_TARGET_DIR=$directory \
    cargo "$2" --locked -p statsfs-collector --bin statsfs-collector --profile "$profile" --target "$3"
  install -m 755 "$directory/$triple/$below/statsfs-collector" "$ship/statsfs-collector-$1"
}

runs_with() { # runs_with GLIBC NAME: the program needs nothing newer of the C library
  local program=$ship/statsfs-collector-$2 newest
  newest=$(readelf --wide --dyn-syms "$program" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
  if [ "$(printf '%s\n' "$newest" "GLIBC_$1" | sort -V | tail -n 1)" != "GLIBC_$1" ]; then
    echo "$program needs $newest, and is to run with $1:" >&2
    readelf --wide --dyn-syms "$program" | grep -F "$newest" >&2
    rm "$program"
    exit 1
  fi
}

for what in "$@"; do
  case $what in
  static) build static build x86_64-unknown-linux-gnu "-C target-feature=+crt-static" ;;
  glibc)
    zig
    build glibc zigbuild x86_64-unknown-linux-gnu.2.17 ""
    runs_with 2.17 glibc
    ;;
  aarch64)
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-gnu" ]; then
      echo "aarch64 is left out: Rust's standard library for it is missing (rustup target add aarch64-unknown-linux-gnu)" >&2
      continue
    fi
    zig
    build aarch64 zigbuild aarch64-unknown-linux-gnu.2.28 ""
    runs_with 2.28 aarch64
    ;;
  sbom)
    tools=$PWD/.tools/cyclonedx
    [ -x "$tools/bin/cargo-cyclonedx" ] || cargo install -q --locked --root "$tools" cargo-cyclonedx@0.5.9
    # It writes one beside each Cargo.toml.
    "$tools/bin/cargo-cyclonedx" cyclonedx --quiet --format json --target x86_64-unknown-linux-gnu --override-filename sbom.cdx
    scripts/sbom.py <sbom.cdx.json >"$ship/sbom.cdx.json"
    find . -name sbom.cdx.json -not -path './target/*' -delete
    ;;
  licenses) scripts/licenses.py >"$ship/licenses.txt" ;;
  *)
    echo "there is no $what: static, glibc, aarch64, sbom, licenses" >&2
    exit 2
    ;;
  esac
done
cd "$ship"
sha256sum -- * | grep -v ' SHA256SUMS$' >../SHA256SUMS
mv ../SHA256SUMS .
cat SHA256SUMS
