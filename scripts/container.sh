#!/usr/bin/env bash
# The image of a statically linked program, statsfs-collector:VERSION, built without a registry and run, as root:
# scripts/container.sh [BINARY]. Without one it is what scripts/dist.sh has built. It runs read-only, with no capability, as
# nobody, over this host's /sys, and what it sends has to arrive at a real Collector. A minute.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-target/ship/statsfs-collector-static}
packages=()
for program in buildah podman runc; do
  command -v "$program" >/dev/null || packages+=("$program")
done
if [ ${#packages[@]} -gt 0 ]; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
fi
scripts/otelcol.sh
if objdump -p "$binary" | grep -q NEEDED; then
  echo "$binary is linked dynamically, and does not run from scratch: scripts/dist.sh static" >&2
  exit 1
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
image=statsfs-collector:$version
work=$PWD/target/container
rm -rf "$work"
# What the stage `builder` has in it.
mkdir -p "$work/builder"/{etc/ssl/certs,src/target/ship}
cp /etc/ssl/certs/ca-certificates.crt "$work/builder/etc/ssl/certs/"
strip -o "$work/builder/src/target/ship/statsfs-collector-static" "$binary"
scripts/licenses.py >"$work/builder/src/target/ship/licenses.txt"
build() {
  buildah bud -q --isolation chroot --format docker --timestamp "$(git log -1 --format=%ct)" \
    --build-context "builder=$work/builder" -t "$image" -f deploy/container/Containerfile .
}
# Docker's format has a random container's name in it: it is the layer that is the same each time.
layers() { podman inspect -f '{{.RootFS.Layers}}' "$(build)"; }
[ "$(layers)" = "$(layers)" ] || { echo "two builds of the image differ" >&2; exit 1; }

# Without a network but loopback, which the Collector shares.
cat >"$work/sink.yaml" <<'YAML'
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:4317"}}}}
exporters: {file: {path: /sink/sink.json, flush_interval: 100ms}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {metrics: {receivers: [otlp], exporters: [file]}}
YAML
mkdir -m 777 "$work/sink"
container() {
  podman --runtime runc --cgroup-manager cgroupfs run -d --rm --ulimit nofile=20000:20000 --ulimit nproc=1000:1000 \
    --read-only --cap-drop all --security-opt no-new-privileges "$@"
}
agent=$(container --network none --memory 128m -v /sys:/host/sys:ro -v /etc/machine-id:/host/etc/machine-id:ro \
  -v /etc/hostname:/host/etc/hostname:ro -v /etc/os-release:/host/etc/os-release:ro \
  -e OTLP_ENDPOINT=http://127.0.0.1:4317 "$image")
trap 'podman --runtime runc --cgroup-manager cgroupfs kill "$agent" >/dev/null' EXIT
pid=$(podman inspect -f '{{.State.Pid}}' "$agent")
# The Collector in the container's network.
nsenter -t "$pid" -n sh -c "cd '$work' && sed -i 's|/sink/|$work/sink/|' sink.yaml && exec '$PWD/.tools/otelcol' --config sink.yaml" >"$work/sink.log" 2>&1 &
collector=$!
trap 'kill "$collector"; podman --runtime runc --cgroup-manager cgroupfs kill "$agent" >/dev/null' EXIT
timeout 60 sh -c "until grep -qs net/rx_bytes '$work/sink/sink.json'; do sleep 0.1; done" || { podman logs "$agent"; exit 1; }
# The host's own interfaces, which a container without a network has not.
for device in /sys/class/net/*; do
  device=$(basename "$device")
  grep -qF "\"stringValue\":\"$device\"" "$work/sink/sink.json" || { echo "$device is missing" >&2; exit 1; }
done
podman --runtime runc --cgroup-manager cgroupfs exec "$agent" /usr/bin/statsfs-collector health
podman --runtime runc --cgroup-manager cgroupfs healthcheck run "$agent"
grep -E '^(Uid|CapEff|NoNewPrivs|VmRSS|RssAnon)' "/proc/$pid/status"
grep -q $'^CapEff:\t0*$' "/proc/$pid/status"
if podman --runtime runc --cgroup-manager cgroupfs exec "$agent" /bin/sh -c : 2>/dev/null; then
  echo "there is a shell in it" >&2
  exit 1
fi
podman images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep "statsfs-collector:$version"
echo "the image holds"
