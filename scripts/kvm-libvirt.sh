#!/usr/bin/env bash
# Runs a command with a libvirt of its own, which ends with it: scripts/kvm-libvirt.sh [COMMAND…]. Without one it runs the
# tests of libvirt's domains (tests/kvm_statistics/libvirt.rs). What libvirt writes is in mounts of its own, and nothing of
# the host's libvirt is touched. By hand, as root, on a host with /dev/kvm; scripts/kvm-peers.sh installs what it takes.
set -euo pipefail
if [ -z "${KVM_LIBVIRT_INSIDE:-}" ]; then
  KVM_LIBVIRT_INSIDE=1 exec unshare --mount "$(realpath "$0")" "$@"
fi
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- cargo test --test collector -- --ignored --nocapture libvirt

work=$(mktemp -d)
for directory in /run /etc/libvirt /var/lib /var/cache /var/log; do
  mount -t tmpfs none $directory
done
# The user that Debian's libvirt is built for.
for file in passwd group; do
  cp /etc/$file "$work"
  mount --bind "$work/$file" /etc/$file
done
grep -q '^libvirt-qemu:' /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin' >>/etc/passwd
grep -q '^libvirt-qemu:' /etc/group || echo 'libvirt-qemu:x:64055:' >>/etc/group
cat >/etc/libvirt/qemu.conf <<'CONF'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
dynamic_ownership = 0
remember_owner = 0
stdio_handler = "file"
CONF
libvirtd >"$work/log" 2>&1 &
export LIBVIRTD_PID=$! LIBVIRT_DEFAULT_URI=qemu:///system
trap 'kill $LIBVIRTD_PID; wait $LIBVIRTD_PID || true; umount /etc/passwd /etc/group; rm -r "$work"' EXIT
for _ in $(seq 100); do
  [ ! -S /run/libvirt/libvirt-sock ] || break
  sleep 0.1
done
if ! virsh list >/dev/null; then
  cat "$work/log" >&2
  exit 1
fi
"$@"
