//! `optional`: what stands in a receiver's map and is not the receiver's own.

use pipeline::config::{Node, OPTIONAL_KEY};

use super::check::Check;

impl Check<'_> {
    /// Takes out of a receiver's map whether it may be without any series.
    pub(super) fn is_optional(&mut self, id: &str, node: &mut Node) -> bool {
        let optional = node.take(OPTIONAL_KEY);
        let optional = optional.and_then(|it| self.decode(&it, &["receivers", id, OPTIONAL_KEY]));
        optional.unwrap_or_default()
    }
}
