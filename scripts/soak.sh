#!/usr/bin/env bash
# An hour (or so many seconds) of sweeps at 1 s over 10,000 files, of which some devices come and go each second, through
# metadata, labels and batch: memory, descriptors and threads at the start and at the end. BINARY is what is run.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-3600}
binary=${BINARY:-target/dist/statsfs-collector}
[ -x "$binary" ] || cargo build --profile dist
place=$(mktemp -d /dev/shm/soak.XXXXXX)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$place"' EXIT

device() { # device NAME: 25 files
  mkdir -p "$place/tree/$1"
  for file in $(seq 25); do echo "$RANDOM" >"$place/tree/$1/metric_$file"; done
}
for subsystem in $(seq 10); do
  for number in $(seq 40); do device "s$subsystem/device$number"; done
done
cat >"$place/config.yaml" <<YAML
receivers:
  statsfs: {root: $place/tree, collection_interval: 1s}
processors:
  metadata: {rules: [{match: {name: "*/metric_*"}, kind: counter}]}
  labels: {actions: [{name: {template: "{subsystem}.{metric}"}}]}
  batch:
exporters:
  stdout: {format: text}
service:
  telemetry: {logs: {level: warn}}
  pipelines: {metrics: {receivers: [statsfs], processors: [metadata, labels, batch], exporters: [stdout]}}
YAML
"$binary" --config "$place/config.yaml" >/dev/null 2>"$place/log" &
pid=$!

show() { # show WHEN
  printf '%s: resident %s KiB, of it anonymous %s KiB; %s descriptors; %s threads\n' "$1" \
    "$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")" "$(awk '/^RssAnon/ {print $2}' "/proc/$pid/status")" \
    "$(ls "/proc/$pid/fd" | wc -l)" "$(ls "/proc/$pid/task" | wc -l)"
}

end=$((SECONDS + seconds)) next=$((SECONDS + 60)) turn=0
while [ $SECONDS -lt $end ]; do
  turn=$((turn % 40 + 1))
  rm -r "$place/tree/s$((turn % 10 + 1))/device$turn"
  sleep 1 # the pace of the soak, not a wait for anything
  device "s$((turn % 10 + 1))/device$turn"
  if [ $SECONDS -ge $next ]; then
    show "after $((seconds - end + SECONDS)) s"
    next=$((next + seconds / 12))
  fi
done
show "at the end"
kill -TERM "$pid"
wait "$pid"
cat "$place/log"
