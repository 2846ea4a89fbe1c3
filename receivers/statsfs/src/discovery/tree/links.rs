//! Links that are not followed: what is behind them is not read, which is said.

use std::collections::BTreeSet;

use pipeline::telemetry::bounded;

use super::Tree;
use crate::counters::{DIRECTORIES_FAILED, FILES_FAILED};
use crate::directory_id::DirectoryId;

/// So many places are named. Names of links are anybody's, and in a tree there may be many.
const MAX_PLACES: usize = 32;

/// The places of links that were not followed, each named once: `net/*/device`.
#[derive(Debug, Default)]
pub(super) struct PassedLinks {
    named: BTreeSet<String>,
    /// Those that are still to be named.
    new: Vec<String>,
}

impl PassedLinks {
    fn record(&mut self, place: String) {
        if self.named.len() < MAX_PLACES && self.named.insert(place.clone()) {
            self.new.push(place);
        }
    }

    /// Names the places that were found since the last time.
    pub(super) fn log(&mut self, component: &str) {
        if self.new.is_empty() {
            return;
        }
        let places = std::mem::take(&mut self.new).join(", ");
        tracing::info!(
            component,
            detail = &*bounded(&places),
            "links are not followed, and what they lead to is not read; `follow_links: true` follows those directly in the root, and those that `layout` names"
        );
    }
}

impl Tree {
    /// Whether a link in a directory is followed: one in the root, and one that the layout names.
    pub(super) fn is_followed(&self, id: DirectoryId, name: &str) -> bool {
        self.plan.follow_links && self.may_be_followed(id, name)
    }

    pub(super) fn may_be_followed(&self, id: DirectoryId, name: &str) -> bool {
        id == self.root_id || self.plan.is_named(self.directories[&id].depth(), name)
    }

    /// A link is not followed: it is named, with the mend where the configuration names it.
    pub(super) fn pass_link(&mut self, id: DirectoryId, name: &str) {
        let directory = &self.directories[&id];
        let depth = directory.depth();
        let path = format!("{}/{name}", directory.path);
        let path = path.trim_start_matches('/').to_owned();
        let is_selected = self.plan.is_selected(depth, name);
        // In sysfs none leads to a file.
        let is_file = depth.is_some_and(|depth| self.plan.has_files(depth));
        let record = |counter, cause| {
            self.failure_log
                .record_once(counter, "link", cause, path.clone());
        };
        if self.plan.names_file(&path) {
            record(
                FILES_FAILED,
                "a link, which `formats` names, and files are not read through links: name what it leads to; passed over",
            );
        } else if is_selected && self.plan.names_directory(depth, name) {
            if self.may_be_followed(id, name) {
                record(
                    DIRECTORIES_FAILED,
                    "a link, which the configuration names: `follow_links: true` follows it; passed over",
                );
            } else {
                record(
                    DIRECTORIES_FAILED,
                    "a link, which the configuration names, and only those directly in the root, and those that `layout` names, are followed: make its directory the `root`; passed over",
                );
            }
        } else if is_selected || (is_file && &*self.filesystem != "sysfs") {
            let place = place(&path, depth);
            self.passed_links.record(place);
        }
    }
}

/// The place of a link: what differs from device to device is a `*`.
fn place(path: &str, depth: Option<usize>) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let last = parts.len() - 1;
    let is_subsystem = |at: usize| depth.is_some() && at == 0;
    let is_own_name = |at: usize| at == last && depth.is_some_and(|depth| depth > 0);
    let part = |(at, part): (usize, &&str)| match *part {
        name if is_subsystem(at) || is_own_name(at) => name.to_owned(),
        _ => "*".to_owned(),
    };
    parts
        .iter()
        .enumerate()
        .map(part)
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_once_whatever_the_devices_are_called() {
        assert_eq!(place("net/eth0/device", Some(1)), "net/*/device");
        assert_eq!(place("net/eth0", Some(0)), "net/*");
        assert_eq!(place("net", None), "*");
        let mut links = PassedLinks::default();
        for number in 0..1000 {
            links.record(place(&format!("net/eth{number}/device"), Some(1)));
        }
        assert_eq!(links.new, ["net/*/device"]);
        for number in 0..1000 {
            links.record(place(&format!("net/eth0/{number}"), Some(1)));
        }
        assert_eq!(links.named.len(), MAX_PLACES);
    }
}
