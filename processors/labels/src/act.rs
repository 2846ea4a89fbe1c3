//! What an action does to one series.

use std::sync::Arc;

use pipeline::{Attributes, Head, Series};

use crate::config::Action;
use crate::template::fill;

/// What became of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is as it was: what the action is about is not there.
    Unchanged,
    /// The action was done, be it that nothing is different for it.
    Done,
    /// It goes no further.
    Dropped,
}

/// Does an action to a series that it is for.
pub(crate) fn act(action: &Action, head: &Head, series: &mut Series) -> Outcome {
    let done = match action {
        Action::Keep(_) => true,
        Action::Drop(_) => return Outcome::Dropped,
        Action::Set(it) => {
            labels(series).set(it.label.as_str(), it.value.clone());
            true
        }
        Action::Delete(it) => {
            let is_there = series.attributes.get(&it.label).is_some();
            is_there && labels(series).remove(&it.label).is_some()
        }
        Action::Rename(it) => {
            let is_there = series.attributes.get(&it.label).is_some();
            let value = is_there.then(|| labels(series).remove(&it.label)).flatten();
            let renamed = value.map(|value| labels(series).set(it.to.as_str(), value));
            renamed.is_some()
        }
        Action::Extract(it) => text(series, it.label.as_deref()).is_some_and(|text| {
            let Some(groups) = it.regex.0.captures(&text) else {
                return false;
            };
            for name in it.regex.0.capture_names().flatten() {
                if let Some(group) = groups.name(name) {
                    labels(series).set(name, group.as_str());
                }
            }
            true
        }),
        Action::Map(it) => text(series, it.label.as_deref()).is_some_and(|text| {
            let value = it.values.get(&*text).or(it.default.as_ref());
            value.is_some_and(|value| put(series, it.label.as_deref(), value))
        }),
        Action::Replace(it) => text(series, it.label.as_deref()).is_some_and(|text| {
            let replaced = it.regex.0.replace_all(&text, it.with.as_str());
            if replaced == *text {
                return it.regex.0.is_match(&text);
            }
            put(series, it.label.as_deref(), &replaced)
        }),
        Action::Name(it) => {
            let metric = series
                .name
                .strip_prefix(&*head.subsystem)
                .and_then(|rest| rest.strip_prefix('/'))
                .unwrap_or(&series.name);
            let name = fill(&it.template, &head.subsystem, metric, &series.name);
            name.is_ok_and(|name| put(series, None, &name))
        }
    };
    if done {
        Outcome::Done
    } else {
        Outcome::Unchanged
    }
}

/// The series' own labels, to change.
fn labels(series: &mut Series) -> &mut Attributes {
    Arc::make_mut(&mut series.attributes)
}

/// A label's value as text, or the metric's name.
fn text(series: &Series, label: Option<&str>) -> Option<Arc<str>> {
    match label {
        None => Some(Arc::clone(&series.name)),
        Some(key) => series
            .attributes
            .get(key)
            .map(|value| value.to_string().into()),
    }
}

/// Sets a label, or the metric's name; whether it did: a name does not become empty.
fn put(series: &mut Series, label: Option<&str>, value: &str) -> bool {
    match label {
        None if value.is_empty() => return false,
        None => series.name = value.into(),
        Some(key) => labels(series).set(key, value),
    }
    true
}
