//! What the author of a component sees: tables and batches, demand, the component traits, and their registration.
//!
//! Start with [`PerSeries`] for a processor that looks at names and labels, [`Processor`] for one that needs values,
//! [`Receiver`] and [`Exporter`] for the ends; then [`register!`].

mod build_info;
mod channel;
mod clock;
mod component;
pub mod config;
mod context;
mod data;
mod demand;
mod error;
mod fd_budget;
pub mod formats;
mod matching;
mod per_series;
mod registry;
pub mod telemetry;
#[cfg(feature = "testing")]
#[allow(clippy::missing_panics_doc)] // its functions are assertions
pub mod testing;

pub use build_info::BuildInfo;
pub use channel::{Closed, Outbox, Outlet, StartupReport};
pub use clock::{ReceiverClock, Shutdown, Ticks, now_unix_nano};
pub use component::{Component, Delivery, ExportError, Exporter, Processor, Receiver};
pub use config::Secret;
pub use context::Context;
pub use data::{
    AnyValue, Attributes, Batch, Bounds, Declared, ExponentialHistogram, Head, Histogram, Kind,
    Metric, Scope, Series, Source, SourceDirectory, SourceFile, Sweep, Table, TableMap,
    TableSplitter, Temporality, Times, Value, points,
};
pub use demand::{Demand, Verdict, Want};
pub use error::{BoxError, Error, Result, with_causes};
pub use fd_budget::FdBudget;
pub use matching::Match;
pub use per_series::{Memo, PerSeries, TableRewrite};
pub use registry::{Build, Decode, Factory, Registration};

pub use {async_trait::async_trait, inventory, opentelemetry_proto, schemars, serde};
