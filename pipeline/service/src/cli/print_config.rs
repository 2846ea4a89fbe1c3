//! `print-config`: the configuration as it is run.

use pipeline::BuildInfo;

use super::prepare::{Report, prepare};
use super::{CommandError, Sources};
use crate::config::{add_defaults, print};

/// Prints the configuration after merging and substitution, secrets hidden; the embedded default as it is written; `with_defaults` adds every
/// option that has a default.
pub(super) fn print_config(
    sources: &Sources,
    with_defaults: bool,
    build_info: BuildInfo,
) -> Result<(), CommandError> {
    let mut prepared = prepare(sources, false, build_info, Report::Text)?;
    if with_defaults {
        add_defaults(&mut prepared.loaded.node);
    }
    if !with_defaults && sources.config.is_empty() && sources.set.is_empty() {
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
