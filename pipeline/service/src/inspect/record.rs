//! One line of the list: what becomes of one source in one pipeline.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pipeline::formats::text;
use pipeline::{AnyValue, Attributes, Kind, LeftOut, Series, Source, Value};
use serde::Serialize;
use serde_json::Value as Json;

/// What becomes of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is read, and goes out.
    Read,
    /// It was read, and gave no value.
    Failed,
    /// A component of the pipeline lets it go no further.
    Dropped,
    /// The receiver makes no series of it.
    LeftOut,
}

/// A line. Every key is there in each; one that says nothing is `null`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record<'a> {
    pub(super) receiver: Cow<'a, str>,
    pub(super) source: Cow<'a, str>,
    pub(super) pipeline: Option<&'a str>,
    pub(super) state: State,
    /// Metric and labels as text.
    #[serde(skip)]
    pub(super) identity: Option<String>,
    pub(super) metric: Option<String>,
    pub(super) labels: Option<BTreeMap<String, Json>>,
    pub(super) kind: Option<&'static str>,
    pub(super) kind_from: Option<Cow<'static, str>>,
    pub(super) unit: Option<String>,
    pub(super) unit_from: Option<Cow<'static, str>>,
    /// The exporters that it goes to, and how often.
    pub(super) exporters: Option<BTreeMap<String, String>>,
    pub(super) value: Option<Json>,
    /// By which of its sources the receiver reads it, where it has several.
    pub(super) via: Option<&'static str>,
    /// Who lets it go no further.
    pub(super) component: Option<Cow<'a, str>>,
    pub(super) reason: Option<&'a str>,
    pub(super) detail: Option<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    pub(super) fn new(receiver: &'a str, source: &'a str, state: State) -> Record<'a> {
        Record {
            receiver: receiver.into(),
            source: source.into(),
            pipeline: None,
            state,
            identity: None,
            metric: None,
            labels: None,
            kind: None,
            kind_from: None,
            unit: None,
            unit_from: None,
            exporters: None,
            value: None,
            via: None,
            component: None,
            reason: None,
            detail: None,
        }
    }

    pub(super) fn left_out(receiver: &'a str, left_out: &'a LeftOut) -> Record<'a> {
        Record {
            reason: Some(left_out.reason),
            detail: Some(Cow::Borrowed(&left_out.detail)),
            ..Record::new(receiver, &left_out.source, State::LeftOut)
        }
    }

    /// Who the series is.
    pub(super) fn set_series(&mut self, series: &Series) {
        self.identity = Some(text::identity(&series.name, &series.attributes));
        self.metric = Some(series.name.to_string());
        self.labels = Some(labels(&series.attributes));
        // Nobody said it: it goes out as a gauge.
        let is_unknown = series.kind_is_assumed || series.kind == Kind::Unknown;
        self.kind = Some(if is_unknown {
            "unknown"
        } else {
            text::kind_word(&series.kind)
        });
        self.unit = (!series.unit.is_empty()).then(|| series.unit.to_string());
    }

    /// Lets it go no further than this component.
    pub(super) fn drop_at(
        &mut self,
        component: impl Into<Cow<'a, str>>,
        reason: &'a str,
        detail: impl Into<Cow<'a, str>>,
    ) {
        self.state = State::Dropped;
        self.component = Some(component.into());
        self.reason = Some(reason);
        self.detail = Some(detail.into());
        self.exporters = None;
    }

    /// It was read, and gave no value.
    pub(super) fn fail(&mut self, reason: &'a str, detail: impl Into<Cow<'a, str>>) {
        self.state = State::Failed;
        self.reason = Some(reason);
        self.detail = Some(detail.into());
    }
}

/// What a series is read from: a file's path; where there is none, who it is.
pub(super) fn source(series: &Series) -> String {
    let path = series.source.as_ref().map(Source::path);
    path.unwrap_or_else(|| text::identity(&series.name, &series.attributes))
}

/// Attributes as JSON.
pub(super) fn labels(attributes: &Attributes) -> BTreeMap<String, Json> {
    let pairs = attributes.iter();
    pairs
        .map(|(key, value)| (key.to_string(), any_value(value)))
        .collect()
}

fn any_value(value: &AnyValue) -> Json {
    match value {
        AnyValue::Bool(it) => (*it).into(),
        AnyValue::Int(it) => (*it).into(),
        AnyValue::Double(it) => (*it).into(),
        other => other.to_string().into(),
    }
}

/// A value as JSON: a number, or a histogram in the notation.
pub(super) fn value(value: &Value, series: &Series) -> Json {
    match value {
        Value::Int(it) => (*it).into(),
        Value::Double(it) if it.is_finite() => (*it).into(),
        other => text::value(other, &series.kind).into(),
    }
}
