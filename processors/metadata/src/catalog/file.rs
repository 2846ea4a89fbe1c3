//! One catalog: families of files, and what each is.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use pipeline::config::{AbsentValues, Pattern};
use pipeline::{Kind, Source};
use serde::Deserialize;

use crate::config::Start;

/// A catalog, compiled: for a path, the first family that knows it.
#[derive(Debug)]
pub(crate) struct CatalogFile {
    families: Vec<Family>,
    /// What the families' directories begin with: names, as far as they are no patterns.
    subsystems: BTreeSet<String>,
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
    /// Numbers that stand for no value.
    pub(crate) absent: AbsentValues,
    /// The file beside it that shows the range at which it wraps.
    pub(crate) wraps_at: Option<Arc<str>>,
    /// The file beside it that wraps at what this one shows.
    pub(crate) range_of: Option<Arc<str>>,
    levels: Arc<Levels>,
}

/// The levels at which a file is a sum, or the like, of those below.
#[derive(Debug)]
struct Levels {
    always: GlobSet,
    /// Where the same file stands below.
    if_below: GlobSet,
}

#[derive(Debug)]
struct Family {
    filesystems: Vec<String>,
    exact: HashMap<String, CatalogEntry>,
    /// Names that are globs, as one set, which takes less memory than each on its own; and what the files of each are.
    globs: GlobSet,
    of_globs: Vec<CatalogEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogForm {
    version: u8,
    pub(super) families: Vec<FamilyForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FamilyForm {
    id: String,
    #[serde(default, rename = "note")]
    _note: String,
    #[serde(default)]
    pub(super) filesystems: Vec<String>,
    pub(super) r#match: Vec<String>,
    #[serde(default)]
    aggregates: Vec<String>,
    #[serde(default)]
    aggregates_if_below: Vec<String>,
    #[serde(default)]
    start: Start,
    #[serde(default)]
    absent: AbsentValues,
    pub(super) metrics: Vec<MetricForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricForm {
    pub(super) name: String,
    r#type: Type,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    description: String,
    aggregates: Option<Vec<String>>,
    start: Option<Start>,
    absent: Option<AbsentValues>,
    wraps_at: Option<String>,
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

impl CatalogFile {
    /// Reads a catalog. Its name is for errors.
    pub(crate) fn parse(name: &str, text: &str) -> Result<CatalogFile, String> {
        let (mut directories, mut family_of) = (GlobSetBuilder::new(), Vec::new());
        let mut families = Vec::new();
        let mut subsystems = BTreeSet::new();
        let form: CatalogForm =
            serde_yaml::from_str(text).map_err(|error| format!("{name}: {error}"))?;
        if form.version != 1 {
            let version = form.version;
            return Err(format!(
                "{name}: version {version} is unknown; this program knows 1"
            ));
        }
        for form in form.families {
            let error = |why: String| format!("{name}: family `{}`: {why}", form.id);
            let first = |path: &String| path.split('/').next().map(String::from);
            subsystems.extend(form.r#match.iter().filter_map(first));
            for glob in directory_globs(&form.r#match).map_err(error)? {
                directories.add(glob);
                family_of.push(families.len());
            }
            families.push(family(form).map_err(|why| format!("{name}: {why}"))?);
        }
        let directories = directories.build().map_err(|error| error.to_string())?;
        Ok(CatalogFile {
            families,
            subsystems,
            directories,
            family_of,
        })
    }

    /// The subsystems of which something is known.
    pub(crate) fn subsystems(&self) -> impl Iterator<Item = &str> {
        self.subsystems.iter().map(String::as_str)
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
                let first = family.globs.matches(file).into_iter().min()?;
                family.of_globs.get(first)
            };
            family.exact.get(file).or_else(glob)
        })
    }
}

impl CatalogEntry {
    /// Whether this file of its is a sum, or the like, of those below.
    pub(crate) fn is_aggregate(&self, source: &Source) -> bool {
        let directory = &*source.directory.path;
        self.levels.always.is_match(directory)
            || (source.file.same_name_below && self.levels.if_below.is_match(directory))
    }
}

fn family(form: FamilyForm) -> Result<Family, String> {
    let error = |why: String| format!("family `{}`: {why}", form.id);
    let levels = |always: &[String]| -> Result<Arc<Levels>, String> {
        Ok(Arc::new(Levels {
            always: level_set(always).map_err(error)?,
            if_below: level_set(&form.aggregates_if_below).map_err(error)?,
        }))
    };
    let of_all = levels(&form.aggregates)?;
    let mut ranges: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut globs = GlobSetBuilder::new();
    let mut family = Family {
        filesystems: form.filesystems,
        exact: HashMap::new(),
        globs: GlobSet::empty(),
        of_globs: Vec::new(),
    };
    for metric in form.metrics {
        let kind = match metric.r#type {
            Type::Counter => Some(Kind::COUNTER),
            Type::Updown => Some(Kind::UP_DOWN_COUNTER),
            Type::Gauge | Type::Peak | Type::Bool => Some(Kind::Gauge),
            Type::Histogram | Type::Enum | Type::Config | Type::Info | Type::Text => None,
        };
        let levels = match &metric.aggregates {
            Some(own) => levels(own)?,
            None => Arc::clone(&of_all),
        };
        let wraps_at: Option<Arc<str>> = metric.wraps_at.map(Arc::from);
        ranges.extend(wraps_at.clone().map(|it| (it, metric.name.as_str().into())));
        let entry = CatalogEntry {
            kind,
            unit: metric.unit.into(),
            description: metric.description.into(),
            start: metric.start.unwrap_or(form.start),
            absent: metric.absent.unwrap_or_else(|| form.absent.clone()),
            wraps_at,
            range_of: None,
            levels,
        };
        if metric.name.contains(['*', '?', '[', '{']) {
            globs.add(glob(&metric.name).map_err(error)?);
            family.of_globs.push(entry);
        } else if family.exact.insert(metric.name.clone(), entry).is_some() {
            return Err(error(format!("`{}` stands twice", metric.name)));
        }
    }
    family.globs = globs.build().map_err(|why| error(why.to_string()))?;
    for (range, counter) in ranges {
        if !family.exact.contains_key(&*counter) {
            return Err(error(format!("`{counter}` is a glob, and cannot wrap")));
        }
        let entry = family.exact.get_mut(&*range);
        let missing = || error(format!("`{range}` at which `{counter}` wraps is not in it"));
        let entry = entry.ok_or_else(missing)?;
        entry.range_of = Some(counter);
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

/// The only entry of a catalog.
#[cfg(test)]
pub(crate) fn one(text: &str) -> CatalogEntry {
    let catalog = CatalogFile::parse("a.yaml", text).unwrap();
    let all = catalog.families.into_iter().flat_map(|it| it.exact);
    all.map(|(_, entry)| entry).next().unwrap()
}
