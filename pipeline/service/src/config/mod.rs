//! From what the user wrote to what it means: every mistake reported in one run.

mod check;
mod components;
mod delivery;
mod diagnostic;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod hide;
mod hint;
mod index;
mod load;
mod optional;
mod own_metrics;
mod parse;
mod pipelines;
mod print;
mod reader_parts;
mod readers;
mod retry;
mod schema;
mod sending_queue;
mod service;
mod source_line;
mod substitute;
mod subsystem;
mod types;

use std::collections::BTreeMap;

use pipeline::config::{Node, attempt};
use pipeline::{Build, Exporter, Extension, Processor, Receiver, Registration};

pub(crate) use check::check;
pub(crate) use diagnostic::{Diagnostic, log, render};
#[cfg(fuzzing)]
pub(crate) use fuzzing::load_and_check;
pub(crate) use hide::hide;
pub(crate) use load::{Loaded, load};
pub(crate) use print::print;
pub(crate) use retry::RetryOnFailure;
pub(crate) use schema::{add_defaults, schema};
pub(crate) use sending_queue::{Overflow, SendingQueue, Sizer};
use service::Service;
pub use service::delivery_config;
pub(crate) use service::{DeliveryConfig, Encoding, Level, Logs, Memory, Sandbox};
pub(crate) use subsystem::near_subsystem;

/// A configuration whose every value has its type; nothing is built yet.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) service: Service,
    /// Each with whether it is optional.
    pub(crate) receivers: BTreeMap<String, (ConfiguredComponent<Box<dyn Receiver>>, bool)>,
    pub(crate) processors: BTreeMap<String, Vec<ConfiguredComponent<Box<dyn Processor>>>>,
    pub(crate) exporters:
        BTreeMap<String, (ConfiguredComponent<Box<dyn Exporter>>, DeliveryConfig)>,
    pub(crate) extensions: BTreeMap<String, ConfiguredComponent<Box<dyn Extension>>>,
    /// The pipelines of the readers of own telemetry, a configuration each.
    pub(crate) readers: Vec<Config>,
    /// The paths of all secrets.
    pub(crate) secrets: Vec<Vec<String>>,
    /// The paths of what `${…}` gave and was not read as text.
    pub(crate) typed: Vec<Vec<String>>,
}

/// A component that can be built.
pub(crate) struct ConfiguredComponent<T> {
    pub(crate) registration: &'static Registration,
    pub(crate) build: Build<T>,
    /// Its whole configuration, for the places of what `build` finds.
    pub(crate) node: Node,
    /// Where that stands.
    pub(crate) path: Vec<String>,
}

impl<T> std::fmt::Debug for ConfiguredComponent<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.registration.fmt(f)
    }
}

/// How the logs are written, as far as the configuration can be read: it may have mistakes elsewhere.
pub(crate) fn logs(loaded: &Loaded) -> Logs {
    let path = ["service", "telemetry", "logs"].map(String::from);
    let node = loaded.node.at(&path);
    let decoded = node.and_then(|node| attempt::<Logs>(node).0);
    decoded.map_or_else(Logs::default, |decoded| decoded.value)
}
