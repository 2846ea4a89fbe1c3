//! The catalog: what is known of kernel statistics, by path.

use std::collections::HashMap;
use std::sync::Arc;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use pipeline::Kind;
use pipeline::config::Pattern;
use serde::Deserialize;

use crate::config::Start;

/// What this project knows.
pub(crate) const BUILT_IN: &str = include_str!("../catalog.yaml");

/// Catalogs, compiled: for a path, the first family that knows it.
#[derive(Debug)]
pub(crate) struct Catalog {
    families: Vec<Family>,
    /// All families' directories; a hit's index leads to its family.
    directories: GlobSet,
    family_of: Vec<usize>,
}

/// What a catalog says of a metric.
#[derive(Debug)]
pub(crate) struct CatalogEntry {
    /// `None`: there is no number to export.
    pub(crate) kind: Option<Kind>,
    pub(crate) unit: Arc<str>,
    pub(crate) description: Arc<str>,
    pub(crate) start: Start,
    /// The levels at which it is a sum of those below.
    aggregates: Arc<GlobSet>,
}

#[derive(Debug)]
struct Family {
    filesystems: Vec<String>,
    exact: HashMap<String, CatalogEntry>,
    globs: Vec<(Pattern, CatalogEntry)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    version: u8,
    families: Vec<FamilyForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyForm {
    id: String,
    #[serde(default, rename = "note")]
    _note: String,
    #[serde(default)]
    filesystems: Vec<String>,
    r#match: Vec<String>,
    #[serde(default)]
    aggregates: Vec<String>,
    #[serde(default)]
    start: Start,
    metrics: Vec<MetricForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricForm {
    name: String,
    r#type: Type,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    description: String,
    aggregates: Option<Vec<String>>,
    start: Option<Start>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Counter,
    Updown,
    Gauge,
    Peak,
    Bool,
    Histogram,
    Enum,
    Config,
    Info,
    Text,
}

impl Catalog {
    /// Reads catalogs; the first is asked first. Each comes with its name, for errors.
    pub(crate) fn parse(texts: &[(&str, &str)]) -> Result<Catalog, String> {
        let mut families = Vec::new();
        let (mut directories, mut family_of) = (GlobSetBuilder::new(), Vec::new());
        for (name, text) in texts {
            let file: FileForm =
                serde_yaml::from_str(text).map_err(|error| format!("{name}: {error}"))?;
            if file.version != 1 {
                return Err(format!(
                    "{name}: version {} is unknown; this program knows 1",
                    file.version
                ));
            }
            for form in file.families {
                let error = |why: String| format!("{name}: family `{}`: {why}", form.id);
                for glob in directory_globs(&form.r#match).map_err(error)? {
                    directories.add(glob);
                    family_of.push(families.len());
                }
                families.push(family(form).map_err(|why| format!("{name}: {why}"))?);
            }
        }
        let directories = directories.build().map_err(|error| error.to_string())?;
        Ok(Catalog {
            families,
            directories,
            family_of,
        })
    }

    /// What is known of a file.
    pub(crate) fn find(
        &self,
        directory: &str,
        file: &str,
        filesystem: &str,
    ) -> Option<&CatalogEntry> {
        let mut at: Vec<usize> = self
            .directories
            .matches(directory)
            .into_iter()
            .map(|hit| self.family_of[hit])
            .collect();
        at.sort_unstable();
        let families = at.into_iter().map(|at| &self.families[at]);
        let mut families = families.filter(|family| {
            family.filesystems.is_empty() || family.filesystems.iter().any(|it| it == filesystem)
        });
        families.find_map(|family| {
            let glob = || {
                family
                    .globs
                    .iter()
                    .find(|(glob, _)| glob.is_match(file))
                    .map(|(_, entry)| entry)
            };
            family.exact.get(file).or_else(glob)
        })
    }
}

impl CatalogEntry {
    /// Whether it is a sum, or the like, of those below, in this directory.
    pub(crate) fn is_aggregate(&self, directory: &str) -> bool {
        self.aggregates.is_match(directory)
    }
}

fn family(form: FamilyForm) -> Result<Family, String> {
    let error = |why: String| format!("family `{}`: {why}", form.id);
    let levels = Arc::new(level_set(&form.aggregates).map_err(error)?);
    let mut family = Family {
        filesystems: form.filesystems,
        exact: HashMap::new(),
        globs: Vec::new(),
    };
    for metric in form.metrics {
        let kind = match metric.r#type {
            Type::Counter => Some(Kind::COUNTER),
            Type::Updown => Some(Kind::UP_DOWN_COUNTER),
            Type::Gauge | Type::Peak | Type::Bool => Some(Kind::Gauge),
            Type::Histogram | Type::Enum | Type::Config | Type::Info | Type::Text => None,
        };
        let aggregates = match &metric.aggregates {
            Some(own) => Arc::new(level_set(own).map_err(error)?),
            None => Arc::clone(&levels),
        };
        let entry = CatalogEntry {
            kind,
            unit: metric.unit.into(),
            description: metric.description.into(),
            start: metric.start.unwrap_or(form.start),
            aggregates,
        };
        if metric.name.contains(['*', '?', '[', '{']) {
            let glob = Pattern::glob(&metric.name).map_err(error)?;
            family.globs.push((glob, entry));
        } else if family.exact.insert(metric.name.clone(), entry).is_some() {
            return Err(error(format!("`{}` stands twice", metric.name)));
        }
    }
    Ok(family)
}

/// The directories of globs on `subsystem/…/NAME`.
fn directory_globs(patterns: &[String]) -> Result<Vec<Glob>, String> {
    let directory = |pattern: &String| {
        let directory = pattern
            .strip_suffix("/NAME")
            .ok_or_else(|| format!("`{pattern}` does not end in `/NAME`"))?;
        glob(directory)
    };
    patterns.iter().map(directory).collect()
}

fn level_set(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for glob in directory_globs(patterns)? {
        set.add(glob);
    }
    set.build().map_err(|error| error.to_string())
}

fn glob(text: &str) -> Result<Glob, String> {
    if text.len() > Pattern::LONGEST {
        return Err(format!("a glob has {} bytes at the most", Pattern::LONGEST));
    }
    GlobBuilder::new(text)
        .literal_separator(true)
        .build()
        .map_err(|error| format!("`{text}` is not a glob: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use pipeline::Created;

    use super::*;

    fn built_in() -> Catalog {
        Catalog::parse(&[("catalog.yaml", BUILT_IN)]).unwrap()
    }

    #[test]
    fn names_are_told_apart_by_place_and_file_system() {
        let catalog = built_in();
        let kind = |directory, file, filesystem| {
            catalog
                .find(directory, file, filesystem)
                .map(|entry| entry.kind.clone())
        };
        assert_eq!(
            kind("net/eth0/statistics", "rx_bytes", "sysfs"),
            Some(Some(Kind::COUNTER))
        );
        assert_eq!(
            kind("net/eth0", "rx_bytes", "statsfs"),
            Some(Some(Kind::COUNTER))
        );
        assert_eq!(kind("net/eth0", "mtu", "sysfs"), Some(Some(Kind::Gauge)));
        assert_eq!(kind("net/eth0", "operstate", "sysfs"), Some(None));
        assert_eq!(
            kind("kvm/1-2", "blocking", "debugfs"),
            Some(Some(Kind::UP_DOWN_COUNTER)),
            "a number of vCPUs, not a truth value"
        );
        assert_eq!(
            kind("kvm/1-2", "halt_wait_hist", "debugfs"),
            Some(None),
            "one bucket is no histogram"
        );
        assert_eq!(
            kind("kvm/1-2/vcpu0", "guest_mode", "debugfs"),
            Some(Some(Kind::Gauge))
        );
        assert_eq!(
            kind(
                "infiniband/mlx5_0/ports/1/hw_counters",
                "np_new_one",
                "sysfs"
            ),
            Some(Some(Kind::COUNTER))
        );
        assert_eq!(
            kind("infiniband/mlx5_0/ports/1/hw_counters", "lifespan", "sysfs"),
            Some(None)
        );
        assert_eq!(kind("other/x", "rx_bytes", "sysfs"), None);
        assert!(
            catalog
                .find("kvm", "max_mmu_rmap_size", "debugfs")
                .unwrap()
                .description
                .starts_with("Sum over all VMs")
        );
    }

    #[test]
    fn sums_are_known_by_level() {
        let catalog = built_in();
        let sum = |directory, file, filesystem| {
            catalog
                .find(directory, file, filesystem)
                .unwrap()
                .is_aggregate(directory)
        };
        assert!(sum("kvm", "exits", "debugfs"));
        assert!(
            !sum("kvm/1-2", "exits", "debugfs"),
            "the finest level that debugfs has"
        );
        assert!(sum("kvm/1-2", "guest_mode", "debugfs"));
        assert!(sum("kvm/1-2", "exits", "statsfs") && sum("kvm/1-2", "exits", "ext4"));
        assert!(!sum("kvm/1-2/vcpu0", "exits", "statsfs"));
        assert!(sum("kvm", "largepages", "statsfs") && !sum("kvm/1-2", "largepages", "statsfs"));
    }

    #[test]
    fn each_family_of_counters_says_since_when_they_count() {
        let file: serde_yaml::Value = serde_yaml::from_str(BUILT_IN).unwrap();
        for family in file["families"].as_sequence().unwrap() {
            let mut metrics = family["metrics"].as_sequence().unwrap().iter();
            let has_counters = metrics.any(|metric| metric["type"] == "counter");
            assert!(
                !has_counters || family.get("start").is_some(),
                "{:?}",
                family["id"]
            );
        }
    }

    #[test]
    fn a_start_is_known_by_what_the_kernel_keeps_and_where() {
        let catalog = built_in();
        let since = |path: &str, filesystem, created| {
            let (directory, file) = path.rsplit_once('/').unwrap();
            let entry = catalog.find(directory, file, filesystem).unwrap();
            entry.start.since(created)
        };
        for (path, filesystem, from_boot, later) in [
            // Made with its directory.
            ("kvm/1-2/exits", "debugfs", 7, 9),
            ("kvm/1-2/vcpu0/exits", "statsfs", 7, 9),
            // Moved, or older than its directory.
            ("net/eth0/statistics/rx_bytes", "sysfs", 7, 0),
            ("ext4/sda/session_write_kbytes", "sysfs", 7, 0),
            ("kernel/oops_count", "sysfs", 7, 0),
            // Kept on a disk, or in a device.
            ("ext4/sda/lifetime_write_kbytes", "sysfs", 0, 0),
            ("ext4/sda/errors_count", "sysfs", 0, 0),
            ("powercap/intel-rapl:0/energy_uj", "sysfs", 0, 0),
            ("hwmon/hwmon0/energy1_input", "sysfs", 0, 0),
            ("fc_host/host0/statistics/tx_frames", "sysfs", 0, 0),
            (
                "infiniband/mlx5_0/ports/1/counters/port_rcv_data",
                "sysfs",
                0,
                0,
            ),
        ] {
            assert_eq!(
                since(path, filesystem, Created::AtBoot(7)),
                from_boot,
                "{path}"
            );
            assert_eq!(since(path, filesystem, Created::After(9)), later, "{path}");
            assert_eq!(since(path, filesystem, Created::Unknown), 0, "{path}");
        }
    }

    #[test]
    fn the_form_is_strict() {
        let error = |text: &str| Catalog::parse(&[("mine.yaml", text)]).unwrap_err();
        assert!(error("version: 2\nfamilies: []").contains("mine.yaml: version 2"));
        assert!(error("version: 1\nfamilies: []\nmore: 1").contains("unknown field `more`"));
        assert!(
            error("version: 1\nfamilies: [{id: a, match: [a/b], metrics: []}]")
                .contains("does not end in `/NAME`")
        );
        assert!(error("version: 1\nfamilies: [{id: a, match: [a/NAME], metrics: [{name: b, type: count}]}]").contains("unknown variant `count`"));
        assert!(error("version: 1\nfamilies: [{id: a, match: [a/NAME], metrics: [{name: b, type: bool}, {name: b, type: bool}]}]").contains("stands twice"));
    }

    #[test]
    fn no_catalog_makes_it_panic() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let head = BUILT_IN.lines().take(30).collect::<Vec<_>>().join("\n");
        let odd = [
            '\n', ' ', ':', '{', '}', '[', ']', '"', '*', '!', '-', '/', 'ö', '\t',
        ];
        for _ in 0..500 {
            let mut text: Vec<char> = head.chars().collect();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(..text.len());
                text[at] = odd[random.usize(..odd.len())];
            }
            let text: String = text.into_iter().collect();
            let attempt = std::panic::catch_unwind(|| Catalog::parse(&[("random", &text)]).is_ok());
            assert!(attempt.is_ok(), "seed {seed}: {text}");
        }
    }
}
