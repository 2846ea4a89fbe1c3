#!/usr/bin/env bash
# Gets what `cargo run --profile dist -p benchmarks -- kvm` compares this program with: libvirt and QEMU, installed; and below
# .tools/kvm-peers PCP's agent, whose package wants systemd to be configured, and kvm_stat, which Debian has in the source of
# its kernel only. By hand; a Debian, as root.
set -euo pipefail
cd "$(dirname "$0")/.."
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev python3 xz-utils \
  qemu-system-x86 libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libpcp-pmda3 libpcp-archive1 libpcp-mmv1 pcp-conf

peers=$PWD/.tools/kvm-peers
mkdir -p "$peers"
cd "$peers"
if [ ! -x pcp/usr/bin/dbpmda ]; then
  apt-get download -q pcp
  dpkg -x pcp_*.deb pcp
  rm pcp_*.deb
  # Its configuration is a link to where the package would have put it.
  cp --remove-destination pcp/etc/pcp/kvm/kvm.conf pcp/usr/lib/pcp/pmdas/kvm/kvm.conf
fi
if [ ! -e kvm_stat ]; then
  source=$(apt-cache search --names-only '^linux-source-[0-9.]+$' | awk '{print $1}' | sort -V | tail -n 1)
  apt-get download -q "$source"
  echo "$source" >kvm_stat.source
  dpkg-deb --fsys-tarfile "$source"_*.deb | tar -xO "./usr/src/$source.tar.xz" |
    xz -dc | tar -xO "$source/tools/kvm/kvm_stat/kvm_stat" >kvm_stat.part
  mv kvm_stat.part kvm_stat
  rm "$source"_*.deb
fi
