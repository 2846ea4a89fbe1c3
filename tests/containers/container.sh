# What an engine does between `unshare` and the program: sh container.sh ROOT PROGRAM SETPRIV-ARGUMENTS MOUNT... -- ARGUMENTS
# A MOUNT is HOST:INSIDE. The root has the two programs that it needs, with their libraries, and nothing else.
set -e
root=$1 program=$2 setpriv=$3
shift 3
mount --make-rprivate /
# A host that has it there.
[ -d /sys/kernel/debug/kvm ] || mount -t debugfs none /sys/kernel/debug
mount -t tmpfs -o mode=0755 tmpfs "$root"
for it in "$program" "$(command -v setpriv)"; do
  ldd "$it" | grep -o '/[^ ]*' | xargs cp --parents --dereference -t "$root"
done
cp "$program" "$root/program"
cp "$(command -v setpriv)" "$root/setpriv"
mkdir "$root/proc" "$root/sys" "$root/etc" "$root/old"
mount -t proc proc "$root/proc"
# Of this network namespace.
mount -t sysfs -o ro sysfs "$root/sys"
echo "a container of many" >"$root/etc/hostname"
while [ "$1" != -- ]; do
  if [ -d "${1%:*}" ]; then mkdir -p "$root/${1#*:}"; else mkdir -p "$(dirname "$root/${1#*:}")" && touch "$root/${1#*:}"; fi
  mount --rbind "${1%:*}" "$root/${1#*:}"
  mount -o remount,bind,ro "$root/${1#*:}"
  shift
done
shift
hostname container
cd "$root"
pivot_root . old
# What is open here is the host's still; the program sees the new root only.
exec /setpriv $setpriv /program "$@"
