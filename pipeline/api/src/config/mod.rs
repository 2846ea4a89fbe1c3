//! What a user writes: a tree of values that knows where each was written, and its decoding into a component's `Config`.

mod absent;
mod decode;
mod initial_delay;
mod node;
mod pattern;
mod problem;
mod read;
mod reader;
pub mod schema;
mod types;

pub use absent::AbsentValues;
pub use decode::{Decoded, attempt, decode};
pub use initial_delay::InitialDelay;
pub use node::{Node, NodeValue, Origin};
pub use pattern::Pattern;
pub use problem::{Expected, Problem};
pub use read::{MAX_FILE_BYTES, read_bounded, read_file, read_value};
pub use types::{ByteSize, Duration, Millis, Regex, Secret};

/// What the service takes out of an exporter's map before the exporter's own configuration is decoded: the time-out,
/// queue and retry that stand around it.
pub const DELIVERY_KEYS: [&str; 3] = ["timeout", "sending_queue", "retry_on_failure"];

/// What the service takes out of a receiver's map likewise: whether it may be without any series.
pub const OPTIONAL_KEY: &str = "optional";
