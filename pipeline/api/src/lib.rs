//! What the author of a component for statsfs-collector needs: the kinds of components, the data that flows between them,
//! and what checks a component alone.
//!
//! A component is a type that is [built](Component::build) from its part of the YAML, and one line that
//! [registers](register!) it; a distribution that links the crate then knows the type. There are five kinds:
//!
//! | kind | what it is | registered as |
//! |---|---|---|
//! | [`PerSeries`] | a processor of names and labels: a pure function of one series, called once for each series | `per_series` |
//! | [`Processor`] | a processor that needs values: a state machine of batches | `processor` |
//! | [`Receiver`] | a source | `receiver` |
//! | [`Exporter`] | a sink | `exporter` |
//! | [`Extension`] | what serves the program itself, as a health check | `extension` |
//!
//! # A processor of names and labels
//!
//! ```
//! use pipeline::{Component, Context, Head, PerSeries, Result, Series, Verdict};
//!
//! /// What the user writes: `prefix: {text: node_}`.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {
//!     /// What stands before each name.
//!     text: String,
//! }
//!
//! pub struct Prefix(Config);
//!
//! pipeline::register! { per_series Prefix }
//!
//! impl Component for Prefix {
//!     const TYPE: &'static str = "prefix";
//!     type Config = Config;
//!
//!     fn build(config: Config, _: &Context) -> Result<Prefix> {
//!         Ok(Prefix(config))
//!     }
//! }
//!
//! impl PerSeries for Prefix {
//!     fn rewrite(&self, _: &Head, series: &mut Series) -> Verdict {
//!         if series.attributes.get("device").is_none() {
//!             return Verdict::Drop; // such files are never read
//!         }
//!         series.name = format!("{}{}", self.0.text, series.name).into();
//!         Verdict::Keep
//!     }
//! }
//!
//! pipeline::testing::check::<Prefix>(
//!     "text: node_",
//!     "net/rx{device=/eth0} 5 counter By\nnet/all 7 gauge",
//!     "node_net/rx{device=/eth0} 5 counter By",
//! );
//! ```
//!
//! `pipeline::testing::check` (of the feature `testing`) takes points in the [notation](formats::text); `assert_contracts` beside it holds a component to what
//! every component keeps, its README among that.
//!
//! # A processor that needs values
//!
//! ```
//! use pipeline::telemetry::DropReason;
//! use pipeline::{Batch, Component, Context, Outbox, Processor, Result, Value};
//!
//! /// What points are dropped for: it is what the user asks for, no loss.
//! const ZERO: DropReason = DropReason::intended("zero");
//!
//! /// Lets no zero through.
//! pub struct NonZero;
//!
//! pipeline::register! { processor NonZero }
//!
//! # #[derive(serde::Deserialize, schemars::JsonSchema)]
//! # #[serde(deny_unknown_fields)]
//! # pub struct Config {}
//! impl Component for NonZero {
//!     const TYPE: &'static str = "non_zero";
//!     type Config = Config;
//! #   fn build(_: Config, _: &Context) -> Result<NonZero> { Ok(NonZero) }
//! }
//!
//! impl Processor for NonZero {
//!     fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
//!         let absent = |value: &Value| {
//!             if *value == Value::Int(0) { Value::Absent } else { value.clone() }
//!         };
//!         let rest = batch.with_values(batch.values().iter().map(absent).collect());
//!         out.dropped(batch.points() - rest.points(), ZERO);
//!         out.pass(rest);
//!         Ok(())
//!     }
//! }
//!
//! pipeline::testing::check::<NonZero>("{}", "s/a 0\ns/b 1", "s/b 1");
//! ```
//!
//! What it knows of the tables that it has seen stands in a [`TableMap`], which forgets those that have gone.
//!
//! # What a component needs of the system
//!
//! The program takes away from itself what no component needs (`service.sandbox`), before anything runs: files, TCP ports,
//! capabilities, dangerous system calls. So a receiver, an exporter or an extension says in its `build` what it needs:
//!
//! ```
//! use pipeline::{Context, Result, Right};
//!
//! # struct Config { path: std::path::PathBuf, host: String }
//! # struct Mine;
//! # impl Mine {
//! fn build(config: Config, context: &Context) -> Result<Mine> {
//!     context.needs(move || {
//!         let mut rights = Right::connect(&config.host, 8080);
//!         rights.push(Right::Write(config.path));
//!         rights
//!     });
//!     Ok(Mine)
//! }
//! # }
//! ```
//!
//! What [`Context::watch`] reads is known without being said, and a processor that says nothing needs nothing. Nothing is
//! `context.needs(Vec::new)`: of another component that says nothing it is not known what it needs, and the program keeps
//! its files, ports and capabilities. What is refused is an error of the system, EACCES or EPERM. A component that has
//! forgotten something is mended by saying it; until then `service.sandbox: off` runs it.
//!
//! # A distribution
//!
//! ```ignore
//! use my_crate as _; // linked, and so registered
//! use statsfs_collector::{BUILD_INFO, BuildInfo};
//!
//! fn main() -> std::process::ExitCode {
//!     let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
//!     statsfs_collector::main(BuildInfo { name, version, ..BUILD_INFO })
//! }
//! ```
//!
//! A receiver, an exporter, an extension and a whole distribution stand in the repository's `examples/`.

mod blocking_threads;
mod budget;
mod build_info;
mod channel;
mod clock;
mod color;
mod component;
pub mod config;
mod context;
mod data;
mod demand;
mod error;
pub mod formats;
mod host;
mod inspection;
mod matching;
mod per_series;
mod registry;
mod remark;
mod rights;
mod status;
mod storage;
pub mod telemetry;
#[cfg(feature = "testing")]
#[allow(clippy::missing_panics_doc)] // its functions are assertions
pub mod testing;
mod watched;

pub use blocking_threads::BlockingThreads;
pub use budget::Budget;
pub use build_info::BuildInfo;
pub use channel::{Closed, Outbox, Outlet, StartupReport};
pub use clock::{ReceiverClock, Shutdown, Ticks, now_unix_nano};
pub use color::ColorChoice;
pub use component::{Component, Delivery, ExportError, Exporter, Extension, Processor, Receiver};
pub use config::Secret;
pub use context::Context;
pub use data::{
    AnyValue, Attributes, Batch, Bounds, Created, Declared, DeclaredBy, ExponentialHistogram, Head,
    Histogram, Kind, Metric, Receipt, Route, Scope, Series, Source, SourceDirectory, SourceFile,
    Sweep, Table, TableMap, TableSplitter, Temporality, Times, Value, points,
};
pub use demand::{Demand, Verdict, Want};
pub use error::{BoxError, Error, Result, with_causes};
pub use host::{Host, PipelineShape};
pub use inspection::{Explanation, Inspected, Inspection, LeftOut};
pub use matching::{Match, near_label};
pub use per_series::{Memo, PerSeries, TableRewrite};
pub use registry::{Build, Decode, Factory, Registration};
pub use remark::Remark;
pub use rights::{Needs, Right};
pub use status::{ComponentStatus, Condition, Status};
pub use storage::{
    LogEvent, LogPosition, LogRange, Replay, RequestLog, Storage, StoredLog, Thin, WhenFull,
};
pub use watched::{FileReader, FileWatch, RELOAD_INTERVAL, Watched};

pub use {async_trait::async_trait, inventory, opentelemetry_proto, schemars, serde};
