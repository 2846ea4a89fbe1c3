//! What this program sends of a host: made by itself, once.

use std::fs;
use std::io;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::peer::Peer;
use crate::measure::Bench;
use crate::sink::points;

/// Interfaces of the host; Linux has 24 statistics of each.
const INTERFACES: u64 = 42;
/// What the host is called, wherever its name stands.
const NAME: &str = "agent-000000";

/// A host's request.
pub(crate) struct Host {
    /// OTLP, uncompressed.
    pub(crate) request: Bytes,
    /// Its size on the wire, bytes.
    pub(crate) compressed: usize,
    pub(crate) points: u64,
}

impl Host {
    /// The same of another host.
    pub(crate) fn named(&self, number: usize) -> Bytes {
        let name = format!("agent-{number:06}");
        let mut request = self.request.to_vec();
        for at in 0..=request.len() - NAME.len() {
            if request[at..].starts_with(NAME.as_bytes()) {
                request[at..at + NAME.len()].copy_from_slice(name.as_bytes());
            }
        }
        request.into()
    }
}

/// Sweeps the statistics of so many interfaces, once, to the peer.
pub(crate) fn host(bench: &Bench, peer: &Peer) -> io::Result<Host> {
    let root = bench.directory().join("net");
    let mut number = 0;
    for interface in 0..INTERFACES {
        let directory = root.join(format!("eth{interface}/statistics"));
        fs::create_dir_all(&directory)?;
        for file in fs::read_dir("/sys/class/net/lo/statistics")? {
            let name = file?.file_name();
            number += 1;
            // Most of what goes wrong never does.
            let is_counted = ["bytes", "packets"].iter().any(|it| {
                let name = name.to_string_lossy();
                name.ends_with(it)
            });
            let value = u64::from(is_counted) * number * 982_451_653;
            fs::write(directory.join(&name), format!("{value}\n"))?;
        }
    }
    let sent = |compression: &str| {
        bench.once(&format!(
            "receivers: {{statsfs: {{root: '{}', subsystem: net, layout: '{{device}}/statistics/{{metric}}'}}}}\n\
             processors: {{metadata: {{}}, batch: {{}}}}\n\
             exporters: {{otlp: {{endpoint: '{}', tls: {{insecure: true}}, compression: {compression}}}}}\n\
             service:\n  resource: {{host.name: {NAME}, host.id: {NAME}, service.instance.id: {NAME}}}\n  \
             telemetry: {{logs: {{level: warn}}}}\n  pipelines: {{metrics: {{receivers: [statsfs], processors: [metadata, batch], exporters: [otlp]}}}}\n",
            root.display(),
            peer.address
        ))?;
        peer.last().ok_or_else(|| io::Error::other("nothing came"))
    };
    let compressed = sent("zstd")?.len();
    let request = sent("none")?;
    let decoded = ExportMetricsServiceRequest::decode(request.clone()).map_err(io::Error::other)?;
    let points = points(&decoded);
    if points != number {
        let why = format!("{number} series, and {points} points in a request");
        return Err(io::Error::other(why));
    }
    Ok(Host {
        request,
        compressed,
        points,
    })
}
