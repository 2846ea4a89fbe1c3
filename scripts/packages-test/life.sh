#!/bin/sh
# What packages-test.sh runs in a Debian that systemd has started.
set -eu
export DEBIAN_FRONTEND=noninteractive
config=/etc/statsfs-collector/config.yaml
state=/var/lib/private/statsfs-collector

refute() { # what must not hold; a `!` before a command ends nothing
  if "$@"; then
    echo "holds, and should not: $*"
    exit 1
  fi
}
step() { echo "$(cut -d ' ' -f 1 /proc/uptime): $*"; }
pid() { systemctl show -P MainPID statsfs-collector; }
status() { sed -n "s/^$1:\s*//p" "/proc/$(pid)/status"; }
# What the service has sent from now on is at the Collector.
arrives() {
  lines=$(wc -l </test/sink.json)
  timeout 60 sh -c "until tail -n +$((lines + 1)) /test/sink.json | grep -q 'net/rx_bytes'; do sleep 0.1; done"
}

step "installed, and not started"
dpkg -i /test/old.deb | tee /test/said
grep -q "name the endpoint that it sends to in $config" /test/said
[ "$(systemctl is-enabled statsfs-collector)" = disabled ]
refute systemctl -q is-active statsfs-collector
[ -e /usr/share/man/man1/statsfs-collector.1.gz ]

step "started without an endpoint it says what is missing, and is not tried again"
refute systemctl start statsfs-collector 2>/dev/null
journalctl -q -u statsfs-collector | grep -qF "missing key \`endpoint\`"

step "configured as its own message says"
sed -i 's/# endpoint: .*/endpoint: localhost:4317/; s/# insecure: true .*/insecure: true/' $config
statsfs-collector validate --config $config
sha256sum $config >/test/config.sum
touch /test/sink.json
systemctl start sink
systemctl enable -q --now statsfs-collector
arrives
first=$(pid)
[ "$(status CapEff)" = 0000000000000000 ]
[ "$(status Uid | cut -f 1)" -ge 61184 ] # a dynamic user
[ -d $state ]
# The oldest kernel that has all of it.
if [ "$(printf '6.7\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.7 ]; then
  refute sh -c "journalctl -q -u statsfs-collector | grep 'the sandbox is not whole'"
fi
step "runs: $(status VmRSS) resident, of it $(status RssAnon) its own"

step "upgraded: the configuration is the operator's, and the new program runs"
dpkg --force-confold -i /test/new.deb | tee /test/said
refute grep -q "not started" /test/said
sha256sum -c --quiet /test/config.sum
[ -e $config.dpkg-dist ]
systemctl -q is-active statsfs-collector
[ "$(pid)" != "$first" ]
cmp "/proc/$(pid)/exe" /usr/bin/statsfs-collector
arrives

step "removed: stopped, the configuration and the state stay"
dpkg -r statsfs-collector
refute systemctl -q is-active statsfs-collector
[ ! -e /usr/bin/statsfs-collector ]
sha256sum -c --quiet /test/config.sum
[ -d $state ]

step "installed again: it runs as before"
dpkg --force-confold -i /test/new.deb
sha256sum -c --quiet /test/config.sum
systemctl -q is-active statsfs-collector
arrives

step "purged: nothing is left"
dpkg -P statsfs-collector
[ ! -e /etc/statsfs-collector ] || { rmdir /etc/statsfs-collector; echo "an empty /etc/statsfs-collector was left"; }
[ ! -e $state ]
[ ! -e /var/lib/statsfs-collector ]
left=$(find / -xdev -path /proc -prune -o -path /test -prune -o -name '*statsfs-collector*' -print)
[ -z "$left" ] || { echo "left: $left"; exit 1; }
echo "all holds"
