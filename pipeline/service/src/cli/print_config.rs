//! `print-config`: the configuration as it is run.

use pipeline::BuildInfo;

use super::prepare::{Report, prepare};
use super::{CommandError, Sources};
use crate::config::print;

/// Prints the configuration after merging and substitution, secrets hidden; the embedded default as it is written.
pub(super) fn print_config(sources: &Sources, build_info: BuildInfo) -> Result<(), CommandError> {
    let prepared = prepare(sources, build_info, Report::Text)?;
    if sources.config.is_empty() && sources.set.is_empty() {
        super::print(build_info.default_config);
    } else {
        super::print(&print(
            &prepared.loaded.node,
            &prepared.secrets,
            &prepared.typed,
        ));
    }
    Ok(())
}
