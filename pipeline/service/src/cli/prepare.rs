//! What all commands on a configuration begin with: load, check, build, and report what is wrong.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pipeline::telemetry::{ComponentKind, Counters};
use pipeline::{Attributes, Budget, BuildInfo, Context};

use super::{CommandError, Sources};
use crate::config::{
    Config, Encoding, Loaded, Logs, Sandbox, check, hide, load, log, logs, render,
};
use crate::graph::{self, Graph};
use crate::sandbox::Rights;
use crate::telemetry::Reader;
use crate::{resource, telemetry};

/// How mistakes are reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// As text, with the lines that they are in.
    Text,
    /// As text, or as JSON where the logs are JSON.
    AsLogged,
}

/// A configuration without a mistake, and all that is built of it.
pub(super) struct Prepared {
    pub(super) loaded: Loaded,
    pub(super) graph: Graph,
    /// Of the program's own telemetry.
    pub(super) readers: Vec<Reader>,
    pub(super) counters: Counters,
    pub(super) secrets: Vec<Vec<String>>,
    pub(super) typed: Vec<Vec<String>>,
    pub(super) logs: Logs,
    pub(super) shutdown_timeout: Duration,
    pub(super) sandbox: Sandbox,
    /// What is not known of the host, and what to mount for it.
    pub(super) undescribed: Option<String>,
    /// Of what is sent.
    pub(super) resource: Arc<Attributes>,
}

impl Prepared {
    /// What all components need of the system: asked now, and once.
    pub(super) fn rights(&mut self) -> Rights {
        let mut needs = std::mem::take(&mut self.graph.needs);
        needs.extend(self.readers.iter_mut().flat_map(Reader::take_needs));
        Rights::of(needs, &self.graph.files)
    }
}

/// Loads, checks and builds, and reports all that is wrong or odd in one go.
pub(super) fn prepare(
    sources: &Sources,
    once: bool,
    build_info: BuildInfo,
    report: Report,
) -> Result<Prepared, CommandError> {
    let env = |name: &str| std::env::var(name).ok();
    let default = build_info.default_config;
    let mut loaded = load(&sources.config, &sources.set, default, &env);
    let (mut undescribed, mut resource) = (None, Arc::default());
    let built = check(&mut loaded).and_then(|mut config| {
        let counters = Counters::new("service");
        let context = context(&config, &counters, build_info);
        let context = context.with_color(sources.color()).with_once(once);
        undescribed = resource::undescribed(&config.service.host_root, &context.resource);
        resource = Arc::clone(&context.resource);
        let secrets = std::mem::take(&mut config.secrets);
        let typed = std::mem::take(&mut config.typed);
        let logs = std::mem::take(&mut config.service.telemetry.logs);
        let shutdown_timeout = config.service.shutdown_timeout.0;
        let sandbox = config.service.sandbox;
        let readers = std::mem::take(&mut config.readers);
        let graph = graph::build(config, &context, &mut loaded.diagnostics);
        let readers = telemetry::build_readers(readers, &context, &mut loaded.diagnostics)?;
        let graphs = (graph?, readers);
        let settings = (logs, shutdown_timeout, sandbox);
        Some((graphs, counters, (secrets, typed), settings))
    });
    hide(&mut loaded.diagnostics, &loaded.values);
    let logs = logs(&loaded);
    if report == Report::AsLogged && logs.encoding == Encoding::Json {
        telemetry::start(&logs, sources.color());
        log(&loaded.diagnostics, &loaded.texts);
    } else {
        let text = render(&loaded.diagnostics, &loaded.texts);
        // A reader that has gone away is no error.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    let has_errors = loaded.diagnostics.iter().any(|it| it.is_error);
    match built {
        Some(((graph, readers), counters, (secrets, typed), (logs, shutdown_timeout, sandbox)))
            if !has_errors =>
        {
            Ok(Prepared {
                loaded,
                graph,
                readers,
                counters,
                secrets,
                typed,
                logs,
                shutdown_timeout,
                sandbox,
                undescribed,
                resource,
            })
        }
        _ => Err(CommandError::Configuration),
    }
}

fn context(config: &Config, counters: &Counters, build_info: BuildInfo) -> Context {
    let env = std::env::var("OTEL_RESOURCE_ATTRIBUTES").ok();
    let host_root: &Path = &config.service.host_root;
    let configured = &config.service.resource;
    let resource = resource::resource(host_root, env.as_deref(), configured, build_info);
    Context::new(Arc::new(resource), counters.clone(), host_root)
        .with_build_info(build_info)
        .with_components(components(config))
        .with_fd_budget(fd_budget())
        .with_watch_budget(watch_budget())
}

/// All that the pipelines and the program have, each once: the kinds and the ids.
fn components(config: &Config) -> Vec<(ComponentKind, Arc<str>)> {
    let service = &config.service;
    let mut all: Vec<(ComponentKind, Arc<str>)> = Vec::new();
    let mut add = |kind, ids: &[String]| all.extend(ids.iter().map(|id| (kind, (**id).into())));
    for (name, pipeline) in &service.pipelines {
        add("pipeline", std::slice::from_ref(name));
        add("receiver", &pipeline.receivers);
        add("processor", &pipeline.processors);
        add("exporter", &pipeline.exporters);
    }
    add("extension", &service.extensions);
    all.sort();
    all.dedup();
    all
}

/// What receivers may keep open: three quarters of what the process may have, once it has all that it is allowed.
fn fd_budget() -> Budget {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where it cannot be raised, it is what it was.
    let _ = setrlimit(Resource::Nofile, raised);
    let current = getrlimit(Resource::Nofile).current.unwrap_or(MAX_FDS);
    Budget::new(usize::try_from(current.min(MAX_FDS) / 4 * 3).unwrap_or_default())
}

/// The inotify watches that receivers may keep: half of those that the user may have, since its other programs need some too
/// ([inotify(7)](https://man7.org/linux/man-pages/man7/inotify.7.html)).
fn watch_budget() -> Budget {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
    let limit = limit.ok().and_then(|limit| limit.trim().parse().ok());
    Budget::new(limit.unwrap_or(MIN_USER_WATCHES) / 2)
}

/// `max_user_watches` of the oldest kernels, and the least that newer ones choose.
const MIN_USER_WATCHES: usize = 8192;

/// More than this are not kept, whatever is allowed: each costs the kernel some kilobytes.
const MAX_FDS: u64 = 1 << 20;
