//! The names and labels of a table as text, made once for each way in which clients want them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::escaping::{Escaping, NameOf};
use super::names::{Family, FamilyKind, double, family, labels};
use super::settings::Settings;
use crate::data::{Attributes, Head, Kind, Metric, Series, Table};

/// The rows of a table, which live no longer than what is shown of them.
#[derive(Debug)]
pub(super) struct TableRows {
    pub(super) head: Arc<Head>,
    pub(super) series: Arc<Vec<Series>>,
    settings: Arc<Settings>,
    texts: [OnceLock<TableText>; Escaping::COUNT],
}

/// Names and labels, for values to be put behind.
#[derive(Debug)]
pub(super) struct TableText {
    /// One a metric.
    pub(super) families: Vec<FamilyText>,
    /// Each different set of labels, without braces.
    label_sets: Vec<Box<str>>,
    /// Which set each row has, and which family; a row that can have none has `NONE`.
    places: Vec<(u32, u32)>,
}

const NONE: u32 = u32::MAX;

/// What the series of one metric have in common.
#[derive(Debug)]
pub(super) struct FamilyText {
    /// As the client gets it.
    pub(super) name: String,
    pub(super) kind: FamilyKind,
    /// In words.
    pub(super) unit: String,
    pub(super) metric: Arc<Metric>,
    pub(super) rows: Vec<u32>,
    /// The upper bounds of a histogram's buckets, the last one too.
    pub(super) bounds: Vec<String>,
}

impl TableRows {
    pub(super) fn new(table: &Table, settings: &Arc<Settings>) -> TableRows {
        TableRows {
            head: Arc::clone(table.head()),
            series: table.shared_series(),
            settings: Arc::clone(settings),
            texts: Default::default(),
        }
    }

    /// Its text for those who want names escaped so.
    pub(super) fn text(&self, escaping: Escaping) -> &TableText {
        let escaping = match escaping {
            Escaping::Values | Escaping::AllowUtf8
                if self.settings.translation_strategy.escapes() =>
            {
                // Nothing is odd any more: it is the same text.
                Escaping::Underscores
            }
            other => other,
        };
        self.texts[escaping.index()].get_or_init(|| self.make_text(escaping))
    }

    fn make_text(&self, escaping: Escaping) -> TableText {
        let common = self.common_labels();
        let (mut sets, mut label_sets) = (HashMap::new(), Vec::new());
        let (mut metrics, mut families) = (HashMap::new(), Vec::new());
        let mut places = Vec::with_capacity(self.series.len());
        for (row, series) in (0u32..).zip(self.series.iter()) {
            let set = *sets
                .entry(Arc::as_ptr(&series.attributes))
                .or_insert_with(|| {
                    let text = self.label_text(&series.attributes, &common, escaping);
                    label_sets.push(text.into_boxed_str());
                    index(label_sets.len() - 1)
                });
            let family = metrics.entry(&*series.metric).or_insert_with(|| {
                let text = FamilyText::new(&series.metric, &self.settings, escaping);
                text.map_or(NONE, |text| {
                    families.push(text);
                    index(families.len() - 1)
                })
            });
            places.push((set, *family));
            if let Some(family) = families.get_mut(*family as usize) {
                family.rows.push(row);
            }
        }
        TableText {
            families,
            label_sets,
            places,
        }
    }

    /// The labels that all rows have, besides their own.
    fn common_labels(&self) -> Vec<(String, String)> {
        let settings = &self.settings;
        let resource = &self.head.resource;
        let mut all = Vec::new();
        if *resource != settings.own_resource {
            all.extend(job_and_instance(resource));
        }
        if settings.scope_info {
            all.push(("otel_scope_name".into(), self.head.scope.name.to_string()));
            all.push((
                "otel_scope_version".into(),
                self.head.scope.version.to_string(),
            ));
        }
        let of_resource = resource
            .iter()
            .filter(|(key, _)| settings.resource_constant_labels.is_match(key));
        all.extend(of_resource.map(|(key, value)| (key.to_string(), value.to_string())));
        let constant = settings.const_labels.iter();
        all.extend(constant.map(|(key, value)| (key.clone(), value.clone())));
        all
    }

    fn label_text(
        &self,
        own: &Attributes,
        common: &[(String, String)],
        escaping: Escaping,
    ) -> String {
        // A series' own label is not joined with a common one of its name: it stands.
        let common = common.iter().filter(|(key, _)| own.get(key).is_none());
        let common = common.map(|(key, value)| (&**key, value.clone()));
        let own = own.iter().map(|(key, value)| (&**key, value.to_string()));
        labels(own.chain(common), &self.settings, escaping)
    }
}

/// Who Prometheus would say that a resource is
/// ([OpenTelemetry: resource attributes](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#resource-attributes-1)).
pub(super) fn job_and_instance(resource: &Attributes) -> Vec<(String, String)> {
    let text = |key: &str| resource.get(key).map(ToString::to_string);
    let job = match (text("service.namespace"), text("service.name")) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
        (_, name) => name,
    };
    let both = [("job", job), ("instance", text("service.instance.id"))];
    let known = both
        .into_iter()
        .filter_map(|(key, value)| Some((key.into(), value?)));
    known.collect()
}

impl TableText {
    pub(super) fn labels(&self, row: u32) -> &str {
        &self.label_sets[self.places[row as usize].0 as usize]
    }

    /// The family of a row, if it has one.
    pub(super) fn family(&self, row: u32) -> Option<&FamilyText> {
        self.families.get(self.places[row as usize].1 as usize)
    }
}

fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}

impl FamilyText {
    fn new(metric: &Arc<Metric>, settings: &Settings, escaping: Escaping) -> Option<FamilyText> {
        let Family { name, kind, unit } = family(metric, settings).ok()?;
        let bounds = match &metric.kind {
            Kind::Histogram { bounds, .. } => {
                let bounds = bounds.0.iter().map(|bound| double(*bound));
                bounds.chain(["+Inf".to_owned()]).collect()
            }
            _ => Vec::new(),
        };
        Some(FamilyText {
            name: escaping.escape(&name, NameOf::Metric),
            kind,
            unit,
            metric: Arc::clone(metric),
            rows: Vec::new(),
            bounds,
        })
    }

    /// The names that its lines have, and that no other metric may have.
    pub(super) fn names(&self) -> Vec<String> {
        let with = |end: &str| format!("{}{end}", self.name);
        match self.kind {
            FamilyKind::Histogram => ["", "_bucket", "_sum", "_count"].map(with).into(),
            FamilyKind::Counter => {
                let short = self.name.strip_suffix("_total");
                short
                    .into_iter()
                    .map(Into::into)
                    .chain([with("")])
                    .collect()
            }
            _ => vec![with("")],
        }
    }
}
