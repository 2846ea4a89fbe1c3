//! What a component tells of itself: counters.

mod counters;

pub use counters::{Counters, Key, is_most};
