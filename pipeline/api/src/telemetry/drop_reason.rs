//! Why points go no further.

/// Why points go no further, and whether that is a loss: with `--once` a loss is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DropReason {
    name: &'static str,
    is_loss: bool,
}

impl DropReason {
    /// A processor's rules leave them out.
    pub const FILTERED: DropReason = DropReason::intended("filtered");
    /// They are not wanted as often as they were read.
    pub const NOT_DUE: DropReason = DropReason::intended("not_due");
    /// Whoever would take them has ended: a reader that has gone, as `head` is after ten lines.
    pub const CLOSED: DropReason = DropReason::intended("closed");
    /// Their series are the same as others, which stay.
    pub const DUPLICATE: DropReason = DropReason::loss("duplicate");
    /// The queue before an exporter has no room for them.
    pub const QUEUE_FULL: DropReason = DropReason::loss("queue_full");
    /// A processor's [`process`](crate::Processor::process) failed.
    pub const PROCESSOR_ERROR: DropReason = DropReason::loss("processor_error");

    /// A reason that is what the user asked for.
    #[must_use]
    pub const fn intended(name: &'static str) -> DropReason {
        let is_loss = false;
        DropReason { name, is_loss }
    }

    /// A reason that is a loss.
    #[must_use]
    pub const fn loss(name: &'static str) -> DropReason {
        let is_loss = true;
        DropReason { name, is_loss }
    }

    /// The reason as it is counted: `queue_full`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether data is lost.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        self.is_loss
    }
}
