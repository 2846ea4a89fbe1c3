//! The data that flows: who a series is (a [`Table`], shared by all sweeps), and what it showed (a [`Batch`]).

mod attributes;
mod batch;
mod kind;
mod receipt;
mod series;
mod source;
mod split;
mod table;
mod table_map;
mod value;

pub use attributes::{AnyValue, Attributes};
pub use batch::{Batch, Route, Sweep, Times, points};
pub use kind::{Bounds, Kind, Temporality};
pub use receipt::Receipt;
pub use series::{Metric, Series};
pub use source::{Created, Declared, DeclaredBy, Source, SourceDirectory, SourceFile};
pub use split::TableSplitter;
pub(crate) use split::slots_of_all_parts;
pub use table::{Head, Scope, Table};
pub use table_map::TableMap;
pub(crate) use table_map::address;
pub use value::{ExponentialHistogram, Histogram, Value};
