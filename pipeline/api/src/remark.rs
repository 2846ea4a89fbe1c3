//! What a component remarks when it is built.

use std::collections::BTreeSet;

/// What a component remarks when it is built: no mistake. The service warns of it, or compares it with what others remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// Something in its configuration is odd.
    Odd {
        /// Where, below its id (`rules.2.unit`).
        path: String,
        /// What is odd.
        message: String,
        /// The mend.
        help: String,
    },
    /// A receiver calls the subsystem that it reads so.
    Subsystem {
        /// Where its configuration says so.
        path: String,
        /// The name.
        name: String,
        /// What it reads: a path.
        root: String,
    },
    /// A processor knows what the metrics of these subsystems are, and of no others.
    KnownSubsystems(BTreeSet<String>),
}
