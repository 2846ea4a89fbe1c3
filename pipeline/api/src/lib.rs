//! What the author of a component sees: tables and batches, demand, the component traits, and their registration.
//!
//! Start with [`PerSeries`] for a processor that looks at names and labels, [`Processor`] for one that needs values,
//! [`Receiver`] and [`Exporter`] for the ends; then [`register!`].

mod attributes;
mod batch;
mod channel;
mod component;
pub mod config;
mod context;
mod counters;
mod cut;
mod demand;
mod descriptors;
mod error;
mod identities;
mod matching;
pub mod otlp;
mod per_series;
mod registry;
mod table;
#[cfg(feature = "testing")]
#[allow(clippy::missing_panics_doc)] // its functions are assertions
pub mod testing;
pub mod text;

pub use attributes::{AnyValue, Attributes};
pub use batch::{Batch, Exponential, Histogram, Sweep, Times, Value, points};
pub use channel::{Closed, Found, Outbox, Outlet, Ticks, Until, now_unix_nano};
pub use component::{Component, Delivery, ExportError, Exporter, Processor, Receiver, Shutdown};
pub use config::Secret;
pub use context::Context;
pub use counters::{Counters, Key, is_most};
pub use cut::Cuts;
pub use demand::{Demand, Want};
pub use descriptors::Descriptors;
pub use error::{BoxError, Error, Result, with_causes};
pub use matching::Match;
pub use per_series::{Memo, Outcome, PerSeries, Verdict};
pub use registry::{Build, Decode, Make, Registration};
pub use table::{
    Bounds, Declared, Head, Kind, Metric, Scope, Series, Source, SourceDirectory, SourceFile,
    Table, Temporality,
};

pub use {async_trait::async_trait, inventory, opentelemetry_proto, schemars, serde};
