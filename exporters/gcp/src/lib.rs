#![doc = include_str!("../README.md")]

mod auth;
mod config;
mod map;
mod send;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http::uri::Uri;
use pipeline::telemetry::{Counters, Warnings};
use pipeline::{
    Batch, Component, Context, Delivery, Demand, Error, ExportError, Exporter, Result, Shutdown,
    Want, async_trait, now_unix_nano,
};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use auth::credentials::Auth;
use auth::detect::{DetectedResource, detect};
use auth::sources::CredentialSources;
use map::names::metric_type;
use map::tables::MappedTables;
use send::api::{Api, MAX_CONCURRENT_CALLS, SharedApi, user_agent};
use send::descriptors::Descriptors;
use send::pace::Pace;
use send::series_states::SeriesStates;

pub use config::{Config, Detector, GcpCompression, Impersonation, MetricConfig, ResourceFilter};

/// The default endpoint of Cloud Monitoring.
const DEFAULT_ENDPOINT: &str = "monitoring.googleapis.com:443";
/// The interval of keepalive pings, and how long to wait for their answer. Together they are less than the time-out.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// So long a detection holds that is not enough to map points by.
const DETECTION_INTERVAL: Duration = Duration::from_secs(1);

/// The wall clock, unix ns.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The exporter to Google Cloud Monitoring.
pub struct Gcp {
    config: Config,
    api: SharedApi,
    now: Clock,
    counters: Counters,
    warnings: Warnings,
    product_name_file: std::path::PathBuf,
    pace: Pace,
    tables: MappedTables,
    descriptors: Descriptors,
    /// What stands before a name in a metric's type, without a slash at its end.
    type_prefix: String,
    series_states: Mutex<SeriesStates>,
    /// How many points wait, of series that the API refuses for the time being.
    deferred_points: watch::Sender<u64>,
    /// What was detected last, and when.
    detected: tokio::sync::Mutex<Option<(Arc<DetectedResource>, Instant)>>,
    /// Why points cannot be mapped: they have no project, or no resource of their own. As long as it is so the detection is
    /// made anew: on a machine that boots, the metadata server may come later.
    mapping_error: watch::Sender<Option<String>>,
}

pipeline::register! { exporter Gcp }

impl Component for Gcp {
    const TYPE: &'static str = "gcp";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Gcp> {
        let metric = &config.metric;
        if metric.use_insecure && metric.endpoint.is_none() {
            return Err(Error::at(
                "metric.use_insecure",
                "`use_insecure` needs an `endpoint` of your own: Google's is TLS only",
            ));
        }
        if metric.min_interval.0 < Duration::from_millis(1) {
            return Err(Error::at(
                "metric.min_interval",
                "points of a series are at least 1ms apart",
            ));
        }
        if config.project.as_deref().is_some_and(str::is_empty) {
            return Err(Error::at(
                "project",
                "a project's id is not empty; without the key it is found out",
            ));
        }
        let text = metric.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
        if text.contains('@') {
            // Not shown: there may be a password before it.
            let why = "an endpoint has no user and no password";
            return Err(Error::at("metric.endpoint", why));
        }
        let scheme = if metric.use_insecure { "http" } else { "https" };
        let parsed: Result<Uri, _> = format!("{scheme}://{text}").parse();
        let uri = parsed
            .ok()
            .filter(|uri| uri.port().is_some() && uri.path().len() <= 1);
        let uri = uri.ok_or_else(|| {
            Error::at(
                "metric.endpoint",
                format!("`{text}` is no endpoint; it is written `host:port`"),
            )
        })?;
        let agent_header = user_agent(config.user_agent.as_deref(), &context.build_info)
            .map_err(|why| Error::at("user_agent", why))?;
        // Keepalive finds a dead connection while a request waits, before the request times out.
        let mut endpoint = Endpoint::from(uri)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        endpoint = endpoint
            .user_agent(agent_header.as_bytes().to_vec())
            .map_err(|error| Error::at("user_agent", error))?;
        if !metric.use_insecure {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|error| Error::at("metric.endpoint", error))?;
        }
        Ok(Gcp::new(
            config,
            context,
            Some(endpoint),
            Arc::new(now_unix_nano),
        ))
    }
}

impl Gcp {
    /// An exporter over this channel, with this clock and without credentials: for tests and benchmarks.
    #[must_use]
    pub fn with_channel(config: Config, context: &Context, channel: Channel, now: Clock) -> Gcp {
        let gcp = Gcp::new(config, context, None, now);
        gcp.api.channel.get_or_init(|| channel);
        gcp
    }

    fn new(config: Config, context: &Context, endpoint: Option<Endpoint>, now: Clock) -> Gcp {
        let metric = &config.metric;
        let address = metric.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
        let api = Api {
            address: address.to_owned(),
            endpoint,
            channel: OnceLock::new(),
            auth: OnceLock::new(),
            gzip: metric.compression == GcpCompression::Gzip,
            is_service_time_series: metric.create_service_timeseries,
            destination_project_quota: config.destination_project_quota,
            permits: Semaphore::new(MAX_CONCURRENT_CALLS),
        };
        Gcp {
            api: Arc::new(api),
            now,
            warnings: Warnings::new(&context.id),
            counters: context.counters.clone(),
            product_name_file: CredentialSources::product_name_file(context),
            pace: Pace::new(metric.min_interval.0),
            tables: MappedTables::default(),
            descriptors: Descriptors::default(),
            type_prefix: metric_type("", &[], &metric.prefix),
            series_states: Mutex::default(),
            deferred_points: watch::Sender::new(0),
            detected: tokio::sync::Mutex::default(),
            mapping_error: watch::Sender::new(None),
            config,
        }
    }

    /// The detected resource. One caller runs the detection; the others wait for it.
    async fn detected_resource(&self) -> Arc<DetectedResource> {
        let mut detected = self.detected.lock().await;
        if let Some((resource, since)) = &*detected {
            let is_enough = self.mapping_error.borrow().is_none();
            if is_enough || since.elapsed() < DETECTION_INTERVAL {
                return Arc::clone(resource);
            }
        }
        let sources = CredentialSources::from_environment(self.product_name_file.clone());
        let resource = if self.config.detectors.is_empty() {
            DetectedResource {
                project: sources.project,
                ..DetectedResource::default()
            }
        } else {
            detect(&sources, self.config.detectors_timeout.0, &self.warnings).await
        };
        let resource = Arc::new(resource);
        *detected = Some((Arc::clone(&resource), Instant::now()));
        resource
    }
}

#[async_trait]
impl Exporter for Gcp {
    async fn start(&self) -> Result<()> {
        // TLS needs a crypto provider for the whole process. One that is installed already is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if self.api.endpoint.is_some() && !self.config.metric.use_insecure {
            let sources = CredentialSources::from_environment(self.product_name_file.clone());
            let auth =
                Auth::from_sources(sources, self.config.impersonate.clone()).map_err(Error::new)?;
            self.api.auth.get_or_init(|| auth);
        }
        self.api.connect().map_err(Error::new)?;
        Ok(())
    }

    async fn run(&self, shutdown: Shutdown) -> Result<()> {
        let mut mapping_error = self.mapping_error.subscribe();
        tokio::select! {
            () = shutdown.wait() => Ok(()),
            () = self.retry_deferred() => Ok(()),
            why = async {
                self.detected_resource().await;
                mapping_error.wait_for(Option::is_some).await.map(|why| why.clone())
            } => match why {
                Ok(Some(why)) => Err(Error::new(why)),
                // The sender belongs to this exporter and outlives this future.
                Ok(None) | Err(_) => Ok(()),
            },
        }
    }

    async fn drain(&self, give_up: Shutdown) {
        self.drain_deferred(give_up).await;
    }

    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        self.export_all(request).await
    }

    fn demand(&self) -> Demand {
        let interval = self.config.metric.min_interval.0;
        Demand::new(move |_, _| Want::Every(interval))
    }

    fn delivery() -> Delivery {
        let mut delivery = Delivery::default();
        delivery.timeout = Duration::from_secs(12);
        delivery
    }
}

impl fmt::Debug for Gcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gcp")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
