#![doc = include_str!("../README.md")]

mod auth;
mod config;
mod endpoint;
mod map;
mod rights;
mod send;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use pipeline::telemetry::{Counters, Warnings};
use pipeline::{
    Batch, Component, Context, Delivery, Demand, Error, ExportError, Exporter, Result, Right,
    Shutdown, Want, async_trait, now_unix_nano,
};
use tokio::sync::{Semaphore, watch};
use tonic::transport::{Channel, Endpoint};

use auth::credentials::Auth;
use auth::detect::{DetectedResource, Detection};
use auth::sources::CredentialSources;
use map::names::metric_type;
use map::tables::MappedTables;
use send::api::{Api, MAX_CONCURRENT_CALLS, SharedApi, user_agent};
use send::descriptors::Descriptors;
use send::pace::Pace;
use send::series_states::SeriesStates;

pub use config::{Config, Detector, GcpCompression, Impersonation, MetricConfig, ResourceFilter};

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
    detection: Detection,
    /// Why points cannot be mapped: they have no project, or no resource of their own. On a machine that boots, the metadata
    /// server may come later.
    mapping_error: watch::Sender<Option<String>>,
}

pipeline::register! { exporter Gcp }

impl Component for Gcp {
    const TYPE: &'static str = "gcp";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Gcp> {
        config.check()?;
        let agent_header = user_agent(config.user_agent.as_deref(), &context.build_info)
            .map_err(|why| Error::at("user_agent", why))?;
        let endpoint = endpoint::build(&config.metric, agent_header.as_bytes(), context)?;
        say_needs(&config, context);
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
        let api = Api {
            address: endpoint::address(metric).to_owned(),
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
            detection: Detection::new(),
            mapping_error: watch::Sender::new(None),
            config,
        }
    }

    /// The detected resource, or none as long as it is not known.
    async fn detected_resource(&self) -> Arc<DetectedResource> {
        let detects = !self.config.detectors.is_empty();
        let host = || self.sources().metadata_server().filter(|_| detects);
        let limit = self.config.detectors_timeout.0;
        self.detection.latest(host, limit, &self.warnings).await
    }

    /// The project that the environment or the credentials name, which may come later than this program.
    fn project_of_credentials(&self) -> Option<String> {
        self.sources().project
    }

    fn sources(&self) -> CredentialSources {
        CredentialSources::from_environment(self.product_name_file.clone())
    }
}

/// Says whom it asks, and what it reads for that.
fn say_needs(config: &Config, context: &Context) {
    let address = endpoint::address(&config.metric).to_owned();
    let product_name_file = CredentialSources::product_name_file(context);
    let has_account = !config.metric.use_insecure;
    let impersonates = config.impersonate.is_some();
    let detects = !config.detectors.is_empty();
    context.needs(move || {
        let sources = CredentialSources::from_environment(product_name_file);
        let mut rights = rights::of_address(&address);
        // The project may be in it.
        let file = sources.credentials_file();
        rights.extend(file.map(|it| Right::Read(it.to_owned())));
        if has_account {
            rights.extend(rights::of_credentials(&sources, impersonates));
        }
        if detects {
            rights.extend(rights::of_metadata_server(&sources));
        }
        rights
    });
}

#[async_trait]
impl Exporter for Gcp {
    async fn start(&self) -> Result<()> {
        // TLS needs a crypto provider for the whole process. One that is installed already is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if self.api.endpoint.is_some() && !self.config.metric.use_insecure {
            let auth = Auth::from_sources(self.sources(), self.config.impersonate.clone())
                .map_err(Error::new)?;
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
