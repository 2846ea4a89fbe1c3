#!/usr/bin/env bash
# Runs the test of QEMU's guests (tests/kvm_statistics/qemu.rs) with Debian's QEMU and with that of its backports, which keeps
# statistics descriptors: the second is unpacked below .tools/qemu, not installed. QEMU=PROGRAM names another one. By hand,
# as root, on a Debian 12 with /dev/kvm; the gate runs the test with the first.
set -euo pipefail
cd "$(dirname "$0")/.."

run() { # run PROGRAM
  "$1" --version | head -n 1
  QEMU=$1 cargo test --test collector -- of_a_guest_of_qemu --nocapture
}

if [ -n "${QEMU:-}" ]; then
  run "$QEMU"
  exit
fi

command -v qemu-system-x86_64 >/dev/null || {
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends qemu-system-x86
}
run "$(command -v qemu-system-x86_64)"

place=$PWD/.tools/qemu
if [ ! -x "$place/qemu" ]; then
  mkdir -p "$place/packages"
  # Lists of its own: those of the system stay as they are.
  apt=(-o "Dir::State::lists=$place/lists" -o "Dir::Cache=$place/cache" -o "Dir::Etc::sourcelist=$place/sources.list" -o "Dir::Etc::sourceparts=-")
  mkdir -p "$place/lists/partial" "$place/cache/archives/partial"
  for suite in bookworm bookworm-updates bookworm-backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
  done >"$place/sources.list"
  apt-get "${apt[@]}" update -q
  mapfile -t packages < <(apt-get "${apt[@]}" install -s --no-install-recommends -t bookworm-backports qemu-system-x86 | awk '/^Inst/ {print $2}')
  (cd "$place/packages" && apt-get "${apt[@]}" download -q -t bookworm-backports "${packages[@]}")
  for package in "$place"/packages/*.deb; do dpkg -x "$package" "$place/root"; done
  rm -r "$place/packages" "$place/lists" "$place/cache"
  root=$place/root
  cat >"$place/qemu" <<QEMU
#!/bin/sh
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
exec $root/usr/bin/qemu-system-x86_64 -L $root/usr/share/qemu -L $root/usr/share/seabios "\$@"
QEMU
  chmod +x "$place/qemu"
fi
run "$place/qemu"
