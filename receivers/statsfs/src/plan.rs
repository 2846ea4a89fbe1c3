//! What the configuration means.

use std::iter::once;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pipeline::telemetry::FoundTree;
use pipeline::{Attributes, Context};

use crate::config::{Config, Limits, Read, ValueFormat};
use crate::layout::Layout;
use crate::read::{FileFormat, STALL_TIMEOUT};
use crate::root::FollowedLinks;
use crate::rules::{Formats, NameFilter, Priorities};

/// A receiver's configuration as scans and sweeps use it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) subsystem: Option<Arc<str>>,
    pub(crate) layout: Option<Layout>,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) rescan_interval: Duration,
    pub(crate) max_cpu_percent: u32,
    pub(crate) max_stuck: usize,
    read: Read,
    priorities: Priorities,
    pub(crate) subsystems: NameFilter,
    pub(crate) devices: NameFilter,
    pub(crate) labels: Attributes,
    formats: Formats,
    pub(crate) limits: Limits,
    pub(crate) follow_links: bool,
    links_into: Vec<PathBuf>,
    /// Whether what becomes no series is told, too.
    pub(crate) inspects: bool,
}

impl Plan {
    pub(crate) fn new(config: Config, inspects: bool) -> Plan {
        Plan {
            subsystem: config.subsystem.map(Arc::from),
            layout: config.layout,
            timeout: config.timeout.0,
            interval: config.collection_interval.0,
            rescan_interval: config.rescan_interval.0,
            max_cpu_percent: config.max_cpu_percent,
            max_stuck: config.max_stuck,
            read: config.read,
            priorities: Priorities::new(config.priorities),
            subsystems: NameFilter::new("subsystems", config.subsystems),
            devices: NameFilter::new("devices", config.devices),
            labels: config.labels.into_iter().collect(),
            formats: Formats::new(config.formats),
            limits: config.limits,
            follow_links: config.follow_links,
            links_into: config.links_into,
            inspects,
        }
    }

    /// Whether files of this file system are kept open. sysfs removes a device all the same, and its files then give
    /// ENODEV; an open file of debugfs or statsfs keeps its object alive and cannot be read again; elsewhere a file may be
    /// replaced by another one of its name.
    pub(crate) fn keeps_open(&self, filesystem: &str) -> bool {
        match self.read {
            Read::Auto => filesystem == "sysfs",
            Read::Keep => true,
            Read::Reopen => false,
        }
    }

    /// How long a directory may take. A sweep's time may be shorter than it takes to list one.
    pub(crate) fn directory_timeout(&self) -> Duration {
        self.timeout.max(STALL_TIMEOUT)
    }

    /// Whether a directory, so many directories below the subsystem, belongs to the tree by filters and layout; `None` is a
    /// subsystem itself.
    pub(crate) fn is_selected(&self, depth: Option<usize>, name: &str) -> bool {
        let Some(depth) = depth else {
            return self.subsystems.is_match(name);
        };
        let layout = self.layout.as_ref();
        (depth > 0 || self.devices.is_match(name))
            && layout.is_none_or(|layout| layout.is_match(depth, name))
    }

    /// Whether directories of this depth have files.
    pub(crate) fn has_files(&self, depth: usize) -> bool {
        let layout = self.layout.as_ref();
        layout.is_none_or(|layout| layout.has_files(depth))
    }

    /// Whether the layout names a directory, by its own name.
    pub(crate) fn is_named(&self, depth: Option<usize>, name: &str) -> bool {
        let layout = self.layout.as_ref().zip(depth);
        layout.is_some_and(|(layout, depth)| layout.is_named(depth, name))
    }

    /// Whether the configuration names a directory by its own name, be it as one of several: in the layout, in a filter, by
    /// a priority.
    pub(crate) fn names_directory(&self, depth: Option<usize>, name: &str) -> bool {
        self.is_named(depth, name)
            || match depth {
                None => self.subsystems.names(name) || self.priorities.names(name),
                Some(0) => self.devices.names(name),
                Some(_) => false,
            }
    }

    /// Whether `formats` names the file at this path by its own name.
    pub(crate) fn names_file(&self, path: &str) -> bool {
        self.formats.names(path)
    }

    /// Which links are followed, as paths below the root have them.
    pub(crate) fn followed_links(&self, context: &Context) -> Option<FollowedLinks> {
        // Without `subsystem` the first part of a path is one.
        let above = usize::from(self.subsystem.is_none());
        let layout = self.layout.iter();
        let named = layout.flat_map(|layout| layout.named_depths().map(|depth| depth + above));
        let into = self.links_into.iter();
        self.follow_links.then(|| FollowedLinks {
            positions: once(0).chain(named).collect(),
            into: into.map(|path| context.host_path(path)).collect(),
        })
    }

    /// The priority of a subsystem.
    pub(crate) fn priority(&self, subsystem: &str) -> i32 {
        self.priorities.find(subsystem)
    }

    /// How the file at this path is read: as the user says, as `.schema` says, as an integer.
    pub(crate) fn format(
        &self,
        directory: &str,
        file: &str,
        declared: Option<ValueFormat>,
    ) -> FileFormat {
        if self.formats.is_empty() {
            return declared.unwrap_or_default().into();
        }
        let path = format!("{directory}/{file}");
        let rule = self.formats.find(&path);
        let format = rule.and_then(|(format, _)| *format).or(declared);
        FileFormat {
            format: format.unwrap_or_default(),
            absent: rule.map(|(_, absent)| absent.clone()).unwrap_or_default(),
        }
    }

    /// The first scan is over: warns of patterns that have matched nothing. Some may be about what is not there yet.
    pub(crate) fn log_unmatched(&self, component: &str, found: &FoundTree) {
        self.subsystems.log(component, true);
        self.devices.log(component, found.is_judge(None));
        self.formats.log(component, found);
        self.priorities.log(component, found);
    }

    /// The labels of a directory below its subsystem.
    pub(crate) fn attributes(
        &self,
        declared: Option<&std::collections::BTreeMap<String, String>>,
        parts: &[&str],
    ) -> Attributes {
        let mut all = match (declared, &self.layout) {
            (Some(labels), _) => labels
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            (None, Some(layout)) => layout.labels(parts.iter().copied()).collect(),
            (None, None) => {
                let device: String = parts.iter().flat_map(|part| ["/", part]).collect();
                Attributes::from_iter([("device", device)])
            }
        };
        for (key, value) in self.labels.iter() {
            all.set(Arc::clone(key), value.clone());
        }
        all
    }
}
