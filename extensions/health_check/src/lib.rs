#![doc = include_str!("../README.md")]

mod config;
mod liveness;
mod readiness;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use pipeline::{Component, Context, Error, Extension, Host, Result, Shutdown, async_trait};
use pipeline_http::axum::Router;
use pipeline_http::axum::http::StatusCode;
use pipeline_http::axum::http::header::CONTENT_TYPE;
use pipeline_http::axum::response::{IntoResponse, Response};
use pipeline_http::axum::routing::get;
use pipeline_http::{Listening, Server};
use serde::Serialize;
use tokio::time::Instant;

pub use config::Config;

/// Where it tells whether the program is alive, whatever `path` is.
const LIVE: &str = "/livez";
/// Where it tells whether the program is ready.
const READY: &str = "/readyz";

/// A thread that does nothing new for so long is blocked.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// Answers whether the program is alive and whether it is ready.
#[derive(Debug)]
pub struct HealthCheck {
    server: Server,
    path: String,
    stale_after: Duration,
    /// From the start to the run.
    started: Mutex<Option<(Listening, Router)>>,
}

pipeline::register! { extension HealthCheck }

impl Component for HealthCheck {
    const TYPE: &'static str = "health_check";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<HealthCheck> {
        let (path, stale_after) = (config.checked_path()?.to_owned(), config.stale_after.0);
        let server = config.server().build(context)?;
        context.needs(server.rights());
        Ok(HealthCheck {
            path,
            stale_after,
            server,
            started: Mutex::default(),
        })
    }
}

#[async_trait]
impl Extension for HealthCheck {
    async fn start(&self, host: &Host) -> Result<()> {
        let listening = self.server.bind().await?;
        let started = (listening, self.router(host));
        *self.lock() = Some(started);
        Ok(())
    }

    async fn run(&self, end: Shutdown) -> Result<()> {
        let started = self.lock().take();
        let (listening, router) = started.ok_or_else(|| Error::new("it has not started"))?;
        listening.serve(router, end).await
    }
}

impl HealthCheck {
    fn lock(&self) -> MutexGuard<'_, Option<(Listening, Router)>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn router(&self, host: &Host) -> Router {
        let (is_live, is_ready) = (Arc::new(host.clone()), Arc::new(host.clone()));
        let live = get(move || live(Arc::clone(&is_live)));
        let stale_after = self.stale_after;
        let ready = get(move || ready(Arc::clone(&is_ready), stale_after));
        let router = Router::new().route(LIVE, live.clone()).route(READY, ready);
        if self.path == LIVE {
            router
        } else {
            router.route(&self.path, live)
        }
    }
}

async fn live(host: Arc<Host>) -> Response {
    let stalled = host.stalled(STALLED_AFTER).await;
    let uptime = host.status().started().elapsed();
    let answer = liveness::answer(&stalled, uptime, SystemTime::now());
    json(stalled.is_empty(), &answer)
}

async fn ready(host: Arc<Host>, stale_after: Duration) -> Response {
    let stalled = host.stalled(STALLED_AFTER).await;
    let now = readiness::Now {
        instant: Instant::now(),
        wall: SystemTime::now(),
        stale_after,
    };
    let answer = readiness::answer(&host, &stalled, &now);
    json(answer.healthy, &answer)
}

fn json(is_healthy: bool, answer: &impl Serialize) -> Response {
    let code = if is_healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = serde_json::to_string(answer).unwrap_or_default();
    (code, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A time as RFC 3339 has it.
fn rfc3339(time: SystemTime) -> String {
    prost_types::Timestamp::from(time).to_string()
}

/// What is told of threads that are blocked.
fn stalled_text(stalled: &[&str]) -> Option<String> {
    let name = stalled.first()?;
    Some(format!(
        "the {name} thread does nothing new for {STALLED_AFTER:?}: something blocks it"
    ))
}
