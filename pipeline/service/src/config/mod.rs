//! From what the user wrote to what it means: every mistake told in one run.

mod check;
mod diagnostic;
mod index;
mod load;
mod pipelines;
mod print;
mod service;
mod substitute;

use std::collections::BTreeMap;

use pipeline::config::{Node, Origin};
use pipeline::{Build, Exporter, Processor, Receiver, Registration};

pub(crate) use check::check;
pub(crate) use diagnostic::{Diagnostic, render};
#[cfg(fuzzing)]
pub(crate) use load::fuzzed;
pub(crate) use load::{Loaded, load};
pub(crate) use print::print;
use service::Service;
pub use service::around;
pub(crate) use service::{Around, Encoding, Level, Logs, RetryOnFailure, Sizer};

/// A configuration whose every value has its type; nothing is built yet.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) service: Service,
    pub(crate) receivers: BTreeMap<String, Component<Box<dyn Receiver>>>,
    pub(crate) processors: BTreeMap<String, Vec<Component<Box<dyn Processor>>>>,
    pub(crate) exporters: BTreeMap<String, (Component<Box<dyn Exporter>>, Around)>,
    /// The paths of all secrets.
    pub(crate) secrets: Vec<Vec<String>>,
}

/// A component that can be built.
pub(crate) struct Component<T> {
    pub(crate) registration: &'static Registration,
    pub(crate) build: Build<T>,
    pub(crate) origin: Option<Origin>,
    /// Its whole configuration, for the places of what `build` finds.
    pub(crate) node: Node,
}

impl<T> std::fmt::Debug for Component<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.registration.fmt(f)
    }
}
