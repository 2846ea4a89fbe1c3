//! `schema`: what a configuration of this binary may be, for editors.

use pipeline::BuildInfo;

use crate::config::schema;

/// Prints one JSON schema for all components that are linked.
pub(super) fn print_schema(build_info: BuildInfo) {
    super::print(&format!("{:#}\n", schema(build_info.name)));
}
