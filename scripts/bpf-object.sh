#!/usr/bin/env bash
# Builds the BPF program of receivers/kvm/bpf anew, and compares it with the object that stands beside its source, which is
# what is shipped. scripts/bpf-object.sh write puts it there. Other compilers give other bytes, so it is this one.
set -euo pipefail
cd "$(dirname "$0")/../receivers/kvm/bpf/bpf"
version=14.0.6
if ! clang-14 --version | grep -qF "version $version"; then
  echo "it takes clang $version (Debian 12: apt-get install clang-14)" >&2
  exit 1
fi
built=$(mktemp)
trap 'rm -f "$built"' EXIT
# Without -g, and by a name without a folder: the same bytes wherever it is built.
clang-14 -target bpf -mcpu=v2 -O2 -Wall -Wextra -Werror -fno-ident -fno-addrsig -c kvm_stats.bpf.c -o "$built"
if [ "${1:-}" = write ]; then
  install -m 644 "$built" kvm_stats.bpf.o
elif ! cmp "$built" kvm_stats.bpf.o; then
  echo "kvm_stats.bpf.o is not what its source gives: scripts/bpf-object.sh write" >&2
  exit 1
fi
