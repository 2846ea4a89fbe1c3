//! Why this exporter drops points itself: docs/gcp.md says of each when and why.

use pipeline::telemetry::DropReason;

pub(crate) const BASELINE: DropReason = DropReason::intended("baseline");
pub(crate) const COALESCED: DropReason = DropReason::intended("coalesced");
pub(crate) const DUPLICATE: DropReason = DropReason::intended("duplicate");
pub(crate) const ENDED: DropReason = DropReason::intended("ended");
pub(crate) const IN_THE_FUTURE: DropReason = DropReason::intended("in_the_future");
pub(crate) const OUT_OF_ORDER: DropReason = DropReason::intended("out_of_order");
pub(crate) const SERIES_REFUSED: DropReason = DropReason::intended("series_refused");
pub(crate) const TOO_OLD: DropReason = DropReason::intended("too_old");
