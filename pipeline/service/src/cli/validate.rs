//! `validate`: checks a configuration and builds every component.

use pipeline::BuildInfo;

use super::prepare::{Report, prepare};
use super::{CommandError, Sources};

/// Reports every mistake; starts nothing.
pub(super) fn validate(sources: &Sources, build_info: BuildInfo) -> Result<(), CommandError> {
    prepare(sources, false, build_info, Report::Text).map(drop)
}
