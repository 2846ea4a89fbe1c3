//! What each metric is: a pure function of one series.

use std::sync::Arc;

use pipeline::telemetry::RuleUse;
use pipeline::{Context, Explanation, Head, Kind, PerSeries, Series, Source, SourceFile, Verdict};

use crate::answers::{Known, is_counter_by_mode};
use crate::catalog::{Catalog, CatalogEntry};
use crate::config::{Aggregates, Config, MetadataRule, MetadataSource, Start};
use crate::counts::{RowMemory, ValueRewrite};
use crate::kernel::Kernel;
use crate::wraps::Wrap;

/// Answers what a metric is, from rules, declarations, the running kernel, catalogs and modes.
#[derive(Debug)]
pub(crate) struct Types {
    pub(crate) config: Config,
    /// What each rule has matched.
    pub(crate) rule_uses: Vec<Arc<RuleUse>>,
    catalog: Catalog,
    pub(crate) kernel: Kernel,
}

/// What the name of a sum gets where sums are kept apart.
const AGGREGATE: &str = ".aggregate";

impl Types {
    pub(crate) fn new(config: Config, catalog: Catalog, context: &Context) -> Types {
        let rules = config.rules.iter().enumerate();
        let rule_uses = rules.map(|(index, rule)| {
            let path = format!("rules.{index}");
            context.rule(RuleUse::new(path, rule.drop, rule.r#match.subsystem()))
        });
        Types {
            rule_uses: rule_uses.collect(),
            config,
            catalog,
            kernel: Kernel::new(context),
        }
    }

    /// Records which rules match a series as it comes in.
    fn record_matches(&self, series: &Series) {
        if self.config.sources.contains(&MetadataSource::Rules) {
            for (rule, rule_use) in self.config.rules.iter().zip(&self.rule_uses) {
                rule_use.ask(&rule.r#match, series);
            }
        }
    }

    /// What is remembered of this series, which goes on with that kind.
    pub(crate) fn row_memory(&self, series: &Series, kind: &Kind) -> RowMemory {
        let known = self.known(series);
        let rewrite = self.value_rewrite(&known, kind);
        RowMemory::new(kind, self.start(series, &known), rewrite)
    }

    fn value_rewrite(&self, known: &Known<'_>, kind: &Kind) -> ValueRewrite {
        let absent = self.config.sources.iter().find_map(|asked| match asked {
            MetadataSource::Rules => known.rules.iter().find_map(|rule| rule.absent.clone()),
            MetadataSource::Catalog => known.entry.map(|entry| entry.absent.clone()),
            MetadataSource::Declared | MetadataSource::Kernel | MetadataSource::Mode => None,
        });
        let range_file = known.entry.and_then(|entry| entry.wraps_at.clone());
        ValueRewrite {
            absent: absent.unwrap_or_default(),
            wrap: range_file.filter(|_| *kind == Kind::COUNTER).map(Wrap::new),
            scale: self.scale(known),
        }
    }

    /// The start of the series, unix ns; 0: its first value is the baseline.
    fn start(&self, series: &Series, known: &Known<'_>) -> u64 {
        let Some(source) = &series.source else {
            return 0;
        };
        let start = self.config.sources.iter().find_map(|asked| match asked {
            MetadataSource::Rules => known.rules.iter().find_map(|rule| rule.start),
            MetadataSource::Declared => None,
            // KVM makes files with the VM, at zero.
            MetadataSource::Kernel => known.kernel(*asked).map(|_| Start::Device),
            MetadataSource::Catalog => known.entry.map(|entry| entry.start),
            MetadataSource::Mode => is_counter_by_mode(source).then_some(Start::Device),
        });
        start.unwrap_or_default().since(source.directory.created)
    }

    /// Whether the series may be a sum, but nobody says whether it is, and it is kept for that.
    pub(crate) fn is_candidate(&self, series: &Series) -> bool {
        let source = series.source.as_ref();
        let is_auto = self.config.aggregates == Aggregates::Auto;
        if !is_auto || !source.is_some_and(|source| source.file.same_name_below) {
            return false;
        }
        self.is_aggregate(&self.known(series)).is_none()
    }

    /// The counter that wraps at what this file shows, if the catalog knows one and no rule drops the file.
    pub(crate) fn counter_of_range(&self, series: &Series) -> Option<Series> {
        if self.rules(series).any(|rule| rule.drop) {
            return None;
        }
        let source = series.source.as_ref()?;
        let counter = self.entry(Some(source))?.range_of.as_ref()?;
        let subsystem = series.name.strip_suffix(&*source.file.name)?;
        let mut of = series.clone();
        of.name = format!("{subsystem}{counter}").into();
        of.source.as_mut()?.file = Arc::new(SourceFile::new(Arc::clone(counter)));
        Some(of)
    }

    pub(crate) fn rules(&self, series: &Series) -> impl Iterator<Item = &MetadataRule> {
        let asked = self.config.sources.contains(&MetadataSource::Rules);
        self.config
            .rules
            .iter()
            .filter(move |rule| asked && rule.r#match.is_match(series))
    }

    /// What the catalog knows, if it is asked at all.
    pub(crate) fn entry(&self, source: Option<&Source>) -> Option<&CatalogEntry> {
        let source = source.filter(|_| self.config.sources.contains(&MetadataSource::Catalog))?;
        self.catalog.find(
            &source.directory.path,
            &source.file.name,
            &source.directory.filesystem,
        )
    }
}

impl PerSeries for Types {
    fn rewrite(&self, _: &Head, series: &mut Series) -> Verdict {
        self.record_matches(series);
        let before = series.clone();
        let known = self.known(&before);
        if let Some((kernel, catalog)) = self.disagreement(&known) {
            self.kernel.warn_of_catalog(&series.name, &kernel, &catalog);
        }
        if self.dropped(series, &known).is_some() {
            return Verdict::Drop;
        }
        if let Some((_, kind)) = self.kind(&known) {
            series.kind = kind.unwrap_or_default();
            series.kind_is_assumed = false;
        } else if series.kind == Kind::Unknown {
            series.kind = Kind::Gauge;
            series.kind_is_assumed = true;
        }
        let unit = self.unit(&known).map(|(_, unit)| unit);
        let description = self.description(&known).map(|(_, text)| text);
        series.unit = unit.unwrap_or_else(|| Arc::clone(&series.unit));
        series.description = description.unwrap_or_else(|| Arc::clone(&series.description));
        if self.is_apart(&known) {
            series.name = format!("{}{AGGREGATE}", series.name).into();
            series.kind = Kind::UP_DOWN_COUNTER;
            series.kind_is_assumed = false;
        }
        Verdict::Keep
    }

    /// Where a range is wanted as often as the counter that wraps at it, so that both are read together, it goes no
    /// further than here.
    fn apply(&self, head: &mut Head, series: &mut Series) -> Verdict {
        let verdict = self.rewrite(head, series);
        let counter = match verdict {
            Verdict::Keep => None,
            Verdict::Drop => self.counter_of_range(series),
        };
        counter.map_or(verdict, |counter| {
            *series = counter;
            self.rewrite(head, series)
        })
    }

    fn renames(&self) -> bool {
        self.config.aggregates == Aggregates::Separate
    }

    fn explain(&self, _: &Head, series: &Series) -> Explanation {
        self.explanation(series)
    }
}
