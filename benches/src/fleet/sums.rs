//! What many hosts take, by the figures of this run.

use std::io;

use crate::report::say;

/// The hosts of the sums.
const HOSTS: f64 = 100_000.0;
/// How busy a gateway is to be: what its autoscaler keeps to.
const BUSY: f64 = 0.6;

/// Of one gateway of one core.
#[derive(Default)]
pub(crate) struct Figures {
    /// Of a request: points, and bytes on the wire.
    pub(crate) points: f64,
    pub(crate) bytes: f64,
    /// Points that a second of its CPU carries to the backend.
    pub(crate) points_a_second: f64,
    /// MiB: without a connection, of a connection, and of all that is under way at full load.
    pub(crate) idle: f64,
    pub(crate) connection: f64,
    pub(crate) traffic: f64,
}

/// The sums for each interval, seconds.
pub(crate) fn sums(figures: &Figures, intervals: &[f64]) -> io::Result<()> {
    say(&format!(
        "| {HOSTS:.0} hosts, each | requests/s | points/s | Mbit/s, by zstd | gateways of one core, {:.0} % busy | connections of each | memory of each, MiB |",
        BUSY * 100.0
    ))?;
    say("|---|---|---|---|---|---|---|")?;
    for interval in intervals {
        let requests = HOSTS / interval;
        let points = requests * figures.points;
        let gateways = (points / (figures.points_a_second * BUSY)).ceil();
        let connections = HOSTS / gateways;
        let memory = figures.idle + figures.connection * connections + figures.traffic;
        say(&format!(
            "| {interval:.0} s | {requests:.0} | {points:.0} | {:.0} | {gateways:.0} | {connections:.0} | {memory:.0} |",
            requests * figures.bytes * 8.0 / 1e6,
        ))?;
    }
    Ok(())
}
