#!/usr/bin/env bash
# Runs receivers/kvm/bpf on Debian's kernels, where KVM is a module: scripts/bpf-kernels.sh [KERNEL_PACKAGE…]. Each is booted
# in QEMU, emulated, with an AMD processor's virtualization; there a VM is made and what the iterator reads of it compared
# with the VM's own descriptors (examples/agree.rs); then again under lockdown, where it has to say so. By hand, not in the
# gate: a minute for each kernel. It takes a Debian 12 with backports, and installs nothing: packages are unpacked below
# target/bpf-kernels.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/target/bpf-kernels
mkdir -p "$work/packages" "$work/tools" "$work/root"/{bin,proc,sys,dev}

meta=(linux-image-cloud-amd64 linux-image-6.12-cloud-amd64)
kernels=("$@")
if [ ${#kernels[@]} -eq 0 ]; then
  mapfile -t kernels < <(apt-cache depends "${meta[@]}" | awk '/Depends: linux-image/ {print $2}')
fi
mapfile -t tools < <(apt-get install -s --no-install-recommends --reinstall qemu-system-x86 | awk '/^Inst/ {print $2}')
(
  cd "$work/packages"
  apt-get download -q "${tools[@]}" busybox-static cpio "${kernels[@]}"
  for package in *.deb; do dpkg -x "$package" "$work/tools"; done
)
export LD_LIBRARY_PATH=$work/tools/usr/lib/x86_64-linux-gnu:$work/tools/lib/x86_64-linux-gnu

RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked -q -p statsfs-collector-kvm-bpf --example agree --bin kvm-bpf \
  --target x86_64-unknown-linux-gnu --target-dir "$work/build"
cp "$work/build/x86_64-unknown-linux-gnu/debug"/{kvm-bpf,examples/agree} "$work/root/bin/"
cp "$work/tools/bin/busybox" "$work/root/bin/"
cat >"$work/root/init" <<'INIT'
#!/bin/busybox sh
busybox mount -t proc none /proc
busybox mount -t sysfs none /sys
busybox mount -t devtmpfs none /dev
busybox mount -t debugfs none /sys/kernel/debug
for module in irqbypass kvm kvm-amd; do
  [ ! -e /$module.ko ] || busybox insmod /$module.ko
done
echo "$(busybox uname -r): $(busybox ls /sys/kernel/btf | busybox grep -E '^(kvm|vmlinux)$' | busybox tr '\n' ' ')"
kvm-bpf && agree
# It is told apart without securityfs above, and with it here.
busybox mount -t securityfs none /sys/kernel/security && kvm-bpf
busybox poweroff -f
INIT
chmod +x "$work/root/init"

for package in "${kernels[@]}"; do
  version=${package#linux-image-}
  rm -f "$work/root"/*.ko
  for module in irqbypass kvm kvm-amd; do
    found=$(find "$work/tools/lib/modules/$version" -name "$module.ko*" | head -n 1)
    case $found in
      *.xz) xz -dc "$found" >"$work/root/$module.ko" ;;
      *.ko) cp "$found" "$work/root/" ;;
    esac
  done
  (cd "$work/root" && find . | "$work/tools/bin/cpio" -o -H newc --quiet) >"$work/initramfs"
  for lockdown in integrity confidentiality; do
    log=$work/$version-$lockdown.log
    timeout 300 "$work/tools/usr/bin/qemu-system-x86_64" \
      -L "$work/tools/usr/share/qemu" -L "$work/tools/usr/share/seabios" \
      -accel tcg -cpu max,-la57 -m 512 -nographic -no-reboot -kernel "$work/tools/boot/vmlinuz-$version" \
      -initrd "$work/initramfs" -append "console=ttyS0 quiet panic=-1 lockdown=$lockdown" | tee "$log"
    case $lockdown in
      integrity) grep -q "all agree" "$log" ;;
      confidentiality) [ "$(grep -c '^kernel lockdown is "confidentiality"' "$log")" = 2 ] ;;
    esac
  done
done
