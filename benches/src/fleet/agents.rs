//! The agents: each a connection and a resource of its own, with what the program's exporter `otlp` puts on the wire.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use pipeline_grpc::BytesCodec;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::host::Host;

/// The exporter's default `timeout`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// When requests are sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many are under way at a time.
    Greedy(usize),
    /// Each agent at each interval, so many times: at a moment of its own, or all at the same.
    Every {
        interval: Duration,
        sweeps: u32,
        is_spread: bool,
    },
}

/// What became of all requests.
#[derive(Default)]
pub(crate) struct Outcome {
    /// From when each was due to its answer, in order once all are there; those that were taken.
    pub(crate) answers: Vec<Duration>,
    refused: Vec<Status>,
    late: usize,
    pub(crate) time: Duration,
}

impl Outcome {
    /// In how much time so many of a thousand answers came.
    pub(crate) fn answer_at(&self, permille: usize) -> Duration {
        let last = self.answers.len().saturating_sub(1);
        let at = (last * permille + 500) / 1000;
        self.answers.get(at).copied().unwrap_or_default()
    }

    /// How many requests were not taken, and why.
    pub(crate) fn refusals(&self) -> String {
        let refused = self.refused.len();
        let why = self.refused.first().map(Status::message);
        let why = why.map_or(String::new(), |it| format!(" ({it})"));
        format!("{refused} refused{why}, {} late", self.late)
    }

    fn add(&mut self, other: Outcome) {
        self.answers.extend(other.answers);
        self.refused.extend(other.refused);
        self.late += other.late;
    }

    async fn request(&mut self, agent: &Agent, due: Instant) {
        match timeout(TIMEOUT, agent.send()).await {
            Ok(Ok(())) => self.answers.push(due.elapsed()),
            Ok(Err(status)) => self.refused.push(status),
            Err(_) => self.late += 1,
        }
    }
}

#[derive(Clone)]
struct Agent {
    channel: Channel,
    request: Bytes,
}

impl Agent {
    async fn send(&self) -> Result<(), Status> {
        // A Collector answers as compressed as it is asked.
        let mut grpc = Grpc::new(self.channel.clone())
            .send_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Zstd);
        grpc.ready()
            .await
            .map_err(|it| Status::unavailable(it.to_string()))?;
        let path = PathAndQuery::from_static(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        );
        let codec = BytesCodec::<ExportMetricsServiceResponse>::new();
        let request = Request::new(vec![self.request.clone()]);
        grpc.unary(request, path, codec).await.map(drop)
    }
}

pub(crate) struct Fleet(Vec<Agent>);

impl Fleet {
    /// So many agents, each connected.
    pub(crate) async fn connect(port: u16, agents: usize, host: &Host) -> io::Result<Fleet> {
        let mut all = Vec::new();
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"));
        let endpoint = endpoint.map_err(io::Error::other)?;
        for number in 0..agents {
            let channel = endpoint.connect().await.map_err(io::Error::other)?;
            let request = host.named(number);
            all.push(Agent { channel, request });
        }
        Ok(Fleet(all))
    }

    /// Sends for so long, or so many times, and waits for all answers.
    pub(crate) async fn send(&self, pace: Pace, time: Duration) -> Outcome {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        match pace {
            Pace::Greedy(under_way) => {
                for first in 0..under_way.min(self.0.len()) {
                    let own = self.0.iter().skip(first).step_by(under_way);
                    tasks.spawn(greedily(own.cloned().collect(), start + time));
                }
            }
            Pace::Every {
                interval,
                sweeps,
                is_spread,
            } => {
                let mut random = fastrand::Rng::with_seed(1);
                for agent in &self.0 {
                    let part = if is_spread { random.f64() } else { 0.0 };
                    let first = start + interval.mul_f64(part);
                    tasks.spawn(each(agent.clone(), first, interval, sweeps));
                }
            }
        }
        let mut outcome = Outcome::default();
        for of_task in tasks.join_all().await {
            outcome.add(of_task);
        }
        outcome.answers.sort();
        outcome.time = match pace {
            Pace::Greedy(_) => start.elapsed(),
            // The last interval is a whole one.
            Pace::Every { .. } => start.elapsed().max(time),
        };
        outcome
    }
}

/// One agent after the other, until then.
async fn greedily(agents: Vec<Agent>, end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    for agent in agents.iter().cycle() {
        let now = Instant::now();
        if now >= end {
            break;
        }
        outcome.request(agent, now).await;
    }
    outcome
}

/// One agent, at each interval.
async fn each(agent: Agent, first: Instant, interval: Duration, sweeps: u32) -> Outcome {
    let mut outcome = Outcome::default();
    for sweep in 0..sweeps {
        let due = first + interval * sweep;
        sleep_until(due).await;
        outcome.request(&agent, due).await;
    }
    outcome
}
