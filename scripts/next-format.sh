#!/usr/bin/env bash
# Builds the program once more as the version after this one, whose queues on disk have the next format: what the test of an
# upgrade starts in this one's stead. scripts/next-format.sh DIRECTORY-OF-THIS-PROGRAM; prints where the other one is.
set -euo pipefail
if [ "${1:-}" = --rustc ]; then
  # As cargo's wrapper: one crate gets the `--cfg`.
  shift
  case " $* " in
    *" --crate-name extension_file_storage "*) exec "$@" --cfg file_storage_next_format ;;
    *) exec "$@" ;;
  esac
fi
this=$(realpath "$1")
cd "$(dirname "$0")/.."
profile=$(basename "$this")
next=$(dirname "$this")/next
if [ "$next/$profile/statsfs-collector" -nt "$this/statsfs-collector" ]; then
  echo "$next/$profile/statsfs-collector"
  exit
fi
# All that is compiled is the same but for that crate and what is above it. What cargo writes in place is copied.
rm -rf "${next:?}/$profile"
mkdir -p "$next/$profile"
cp -al "$this/deps" "$next/$profile/deps"
cp -a "$this/.fingerprint" "$this/build" "$next/$profile"
rm -rf "$next/$profile/.fingerprint/statsfs-collector-extension-file-storage-"*
wrapper=$next/rustc.sh
printf '#!/bin/sh\nexec "%s/scripts/next-format.sh" --rustc "$@"\n' "$PWD" >"$wrapper"
chmod +x "$wrapper"
# With a test among it, dependencies have the features that they have here.
option=(--profile "$profile")
[ "$profile" != debug ] || option=(--profile dev)
RUSTC_WRAPPER=$wrapper cargo build --quiet --offline --bin statsfs-collector --test allocations "${option[@]}" --target-dir "$next" >&2
echo "$next/$profile/statsfs-collector"
