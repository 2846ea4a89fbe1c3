#!/usr/bin/env bash
# Packages in a whole life, as root: scripts/packages-test.sh [BINARY]. In a Debian of its own that systemd starts, the deb is
# installed, configured, run, upgraded, removed, installed again and purged, while what the service sends arrives at a real
# Collector. Then the rpm in a root without systemd; and lintian. A minute.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=()
command -v mmdebstrap >/dev/null || packages+=(mmdebstrap)
command -v systemd-nspawn >/dev/null || packages+=(systemd-container)
command -v lintian >/dev/null || packages+=(lintian)
command -v rpm >/dev/null || packages+=(rpm)
if [ ${#packages[@]} -gt 0 ]; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
fi
scripts/otelcol.sh
work=$PWD/target/packages-test
mkdir -p "$work"
VERSION=0.1.0 scripts/packages.sh "$@"
scripts/packages.sh "$@"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
deb=target/packages/statsfs-collector_$version-1_$(dpkg --print-architecture).deb
rpm=target/packages/statsfs-collector-$version-1.$(uname -m).rpm

echo "lintian: what it finds is explained in deploy/packages/deb/lintian-overrides"
[ -z "$(lintian --allow-root --fail-on error,warning "$deb" | tee /dev/stderr)" ]

if [ ! -d "$work/base" ]; then
  rm -rf "$work/part"
  mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,ca-certificates bookworm "$work/part"
  mv "$work/part" "$work/base"
fi
root() { # root NAME: a Debian of its own
  rm -rf "${work:?}/$1"
  cp -a "$work/base" "$work/$1"
  mkdir "$work/$1/test"
}

root deb
cp "$deb" "$work/deb/test/new.deb"
# The older one has another configuration, so that the upgrade has to keep the operator's.
dpkg-deb -R "target/packages/statsfs-collector_0.1.0-1_$(dpkg --print-architecture).deb" "$work/deb/test/old"
sed -i 's/^# What the service/# What once the service/' "$work/deb/test/old/etc/statsfs-collector/config.yaml"
dpkg-deb -Zgzip -z1 -b "$work/deb/test/old" "$work/deb/test/old.deb" >/dev/null
cp scripts/packages-test/{life.sh,sink.yaml} .tools/otelcol "$work/deb/test/"
cp scripts/packages-test/*.service "$work/deb/etc/systemd/system/"
mkdir -p "$work/deb/etc/systemd/system/multi-user.target.wants"
ln -s ../packages-test.service "$work/deb/etc/systemd/system/multi-user.target.wants/"
echo "127.0.0.1 localhost" >"$work/deb/etc/hosts"
# Its own filter has no Landlock among what it lets through.
timeout 300 systemd-nspawn -q -D "$work/deb" -b --register=no --keep-unit --private-network --console=pipe \
  --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" </dev/null >"$work/boot.log" 2>&1 || true
cat "$work/deb/test/log"
grep -qx "all holds" "$work/deb/test/log"

root rpm
mkdir -p "$work/rpm/var/lib/rpm"
in_root() { rpm --root "$work/rpm" --dbpath /var/lib/rpm "$@"; }
rpm -qpR "$rpm"
# Of what it needs this Debian tells rpm nothing.
in_root -i --nodeps "target/packages/statsfs-collector-0.1.0-1.$(uname -m).rpm"
config=$work/rpm/etc/statsfs-collector/config.yaml
sed -i 's/# endpoint: .*/endpoint: localhost:4317/' "$config"
cp "$config" "$work/config.yaml"
in_root -U --nodeps "$rpm"
cmp "$config" "$work/config.yaml"
chroot "$work/rpm" statsfs-collector validate --config /etc/statsfs-collector/config.yaml
[ "$(in_root -V --nodeps statsfs-collector | grep -v ' c /etc/statsfs-collector/config.yaml$')" = "" ]
in_root -e --nodeps statsfs-collector
[ ! -e "$work/rpm/usr/bin/statsfs-collector" ]
cmp "$config.rpmsave" "$work/config.yaml"
echo "the rpm holds"
