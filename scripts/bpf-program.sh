#!/usr/bin/env bash
# Builds the BPF program of receivers/kvm/bpf anew, and compares its instructions with those that stand beside its source,
# which are what is shipped. scripts/bpf-program.sh write puts them there. Other compilers give other bytes, so it is this
# one.
set -euo pipefail
cd "$(dirname "$0")/../receivers/kvm/bpf/bpf"
version=14.0.6
if ! clang-14 --version | grep -qF "version $version"; then
  echo "it takes clang $version (Debian 12: apt-get install clang-14)" >&2
  exit 1
fi
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
clang-14 -target bpf -mcpu=v2 -O2 -Wall -Wextra -Werror -c kvm_stats.bpf.c -o "$built/object"
# The one section that it has; there is nothing to relocate.
objcopy --input-target elf64-little --output-target binary --only-section .text "$built/object" "$built/program"
if [ "${1:-}" = write ]; then
  install -m 644 "$built/program" kvm_stats.bpf.bin
elif ! cmp "$built/program" kvm_stats.bpf.bin; then
  echo "kvm_stats.bpf.bin is not what its source gives: scripts/bpf-program.sh write" >&2
  exit 1
fi
