//! What the configuration means.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pipeline::Attributes;
use pipeline::telemetry::FoundTree;

use crate::config::{Config, Limits, Read, ValueFormat};
use crate::layout::Layout;
use crate::read::{FileFormat, STALL_TIMEOUT};
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
    pub(crate) links_into: Vec<PathBuf>,
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
