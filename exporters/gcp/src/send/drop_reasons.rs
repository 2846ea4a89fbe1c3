//! Why this exporter drops points itself: docs/gcp.md says of each when and why.

use pipeline::telemetry::DropReason;

pub(crate) const BASELINE: DropReason = DropReason::intended("baseline");
pub(crate) const COALESCED: DropReason = DropReason::intended("coalesced");
pub(crate) const DEFERRED: DropReason = DropReason::loss("deferred");
pub(crate) const DUPLICATE: DropReason = DropReason::loss("duplicate");
pub(crate) const ENDED: DropReason = DropReason::intended("ended");
pub(crate) const IN_THE_FUTURE: DropReason = DropReason::loss("in_the_future");
pub(crate) const OUT_OF_ORDER: DropReason = DropReason::loss("out_of_order");
pub(crate) const SERIES_REFUSED: DropReason = DropReason::loss("series_refused");
/// What waits at the end, as the service counts it.
pub(crate) const SHUTDOWN: DropReason = DropReason::loss("shutdown");
pub(crate) const TOO_OLD: DropReason = DropReason::loss("too_old");
