#![doc = include_str!("../README.md")]

mod config;
mod negotiation;
mod scrape;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use pipeline::{
    Batch, Component, Context, Delivery, ExportError, Exporter, Result, Shutdown, async_trait,
};
use pipeline_http::axum::Router;
use pipeline_http::axum::routing::get;
use pipeline_http::{Listening, Server};
use tokio::sync::Mutex;

pub use config::{Config, ResourceToTelemetry};
use scrape::{Scrapes, scrape};
use shown::Shown;

/// Serves the newest value of each series.
#[derive(Debug)]
pub struct Prometheus {
    component: Arc<str>,
    path: String,
    hints: Vec<&'static str>,
    server: Server,
    /// From the start on, until it is served.
    listening: Mutex<Option<Listening>>,
    scrapes: Arc<Scrapes>,
}

pipeline::register! { exporter Prometheus }

impl Component for Prometheus {
    const TYPE: &'static str = "prometheus";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Prometheus> {
        let (path, hints) = (config.path.clone(), config.hints());
        let expiration = config.metric_expiration.0;
        let open_metrics = config.enable_open_metrics;
        let (settings, server) = config.split(context)?;
        let server = server.build(context)?;
        context.needs(server.rights());
        let shown = Arc::new(Shown::new(settings, context.counters.clone()));
        Ok(Prometheus {
            component: Arc::clone(&context.id),
            path,
            hints,
            server,
            listening: Mutex::default(),
            scrapes: Arc::new(Scrapes::new(shown, expiration, open_metrics)),
        })
    }
}

#[async_trait]
impl Exporter for Prometheus {
    async fn start(&self) -> Result<()> {
        for hint in &self.hints {
            tracing::warn!(component = &*self.component, "{hint}");
        }
        let mut listening = self.listening.lock().await;
        if listening.is_none() {
            *listening = Some(self.server.bind().await?);
        }
        Ok(())
    }

    async fn run(&self, end: Shutdown) -> Result<()> {
        let listening = match self.listening.lock().await.take() {
            Some(listening) => listening,
            // It is run again.
            None => self.server.bind().await?,
        };
        let scrapes = Arc::clone(&self.scrapes);
        let router = Router::new().route(&self.path, get(scrape));
        listening.serve(router.with_state(scrapes), end).await
    }

    async fn export(&self, request: &[Batch]) -> std::result::Result<(), ExportError> {
        match self.scrapes.shown.take(request) {
            0 => Ok(()),
            points => Err(ExportError::Dropped {
                points,
                rest: Ok(()),
            }),
        }
    }

    fn wants_empty_batches(&self) -> bool {
        true
    }

    /// It waits for nobody.
    fn delivery() -> Delivery {
        let mut delivery = Delivery::default();
        (delivery.timeout, delivery.num_consumers, delivery.retry) = (Duration::ZERO, 1, false);
        delivery
    }
}
