#![doc = include_str!("../README.md")]

mod config;

use std::sync::Arc;

use pipeline::{
    Attributes, Component, Context, Error, Head, Match, PerSeries, Result, Series, Verdict,
};

pub use config::{Action, Config, Delete, Extract, Map, Name, Only, Rename, Replace, Set};

/// Rewrites labels and names, and drops series by them.
#[derive(Debug)]
pub struct Labels {
    actions: Vec<Action>,
}

pipeline::register! { per_series Labels }

impl Component for Labels {
    const TYPE: &'static str = "labels";
    type Config = Config;

    fn build(config: Config, _: &Context) -> Result<Labels> {
        for (index, action) in config.actions.iter().enumerate() {
            let at = |key: &str, why: String| Err(Error::at(format!("actions.{index}.{key}"), why));
            match action {
                Action::Extract(it) if it.regex.0.capture_names().flatten().next().is_none() => {
                    return at(
                        "extract.regex",
                        "has no named group: `(?P<label>…)` makes a label".into(),
                    );
                }
                Action::Name(it) => {
                    if let Err(why) = template(&it.template, "s", "m", "n") {
                        return at("name.template", why);
                    }
                }
                _ => {}
            }
        }
        Ok(Labels {
            actions: config.actions,
        })
    }
}

impl PerSeries for Labels {
    fn rewrite(&self, head: &Head, series: &mut Series) -> Verdict {
        for action in &self.actions {
            if let Action::Keep(it) = action {
                if !it.r#match.is_match(series) {
                    return Verdict::Drop;
                }
            } else if which(action).is_match(series) && act(action, head, series) == Verdict::Drop {
                return Verdict::Drop;
            }
        }
        Verdict::Keep
    }
}

fn which(action: &Action) -> &Match {
    match action {
        Action::Set(Set { r#match, .. })
        | Action::Rename(Rename { r#match, .. })
        | Action::Delete(Delete { r#match, .. })
        | Action::Extract(Extract { r#match, .. })
        | Action::Map(Map { r#match, .. })
        | Action::Replace(Replace { r#match, .. })
        | Action::Keep(Only { r#match })
        | Action::Drop(Only { r#match })
        | Action::Name(Name { r#match, .. }) => r#match,
    }
}

fn act(action: &Action, head: &Head, series: &mut Series) -> Verdict {
    match action {
        Action::Keep(_) => {}
        Action::Drop(_) => return Verdict::Drop,
        Action::Set(it) => labels(series).set(it.label.as_str(), it.value.clone()),
        Action::Delete(it) => drop(
            series
                .attributes
                .get(&it.label)
                .is_some()
                .then(|| labels(series).remove(&it.label)),
        ),
        Action::Rename(it) => {
            if series.attributes.get(&it.label).is_some()
                && let Some(value) = labels(series).remove(&it.label)
            {
                labels(series).set(it.to.as_str(), value);
            }
        }
        Action::Extract(it) => {
            let Some(text) = text(series, it.label.as_deref()) else {
                return Verdict::Keep;
            };
            let Some(groups) = it.regex.0.captures(&text) else {
                return Verdict::Keep;
            };
            for name in it.regex.0.capture_names().flatten() {
                if let Some(group) = groups.name(name) {
                    labels(series).set(name, group.as_str());
                }
            }
        }
        Action::Map(it) => {
            let Some(text) = text(series, it.label.as_deref()) else {
                return Verdict::Keep;
            };
            if let Some(value) = it.values.get(&*text).or(it.default.as_ref()) {
                put(series, it.label.as_deref(), value);
            }
        }
        Action::Replace(it) => {
            let Some(text) = text(series, it.label.as_deref()) else {
                return Verdict::Keep;
            };
            let replaced = it.regex.0.replace_all(&text, it.with.as_str());
            if replaced != *text {
                put(series, it.label.as_deref(), &replaced);
            }
        }
        Action::Name(it) => {
            let metric = series
                .name
                .strip_prefix(&*head.subsystem)
                .and_then(|rest| rest.strip_prefix('/'))
                .unwrap_or(&series.name);
            if let Ok(name) = template(&it.template, &head.subsystem, metric, &series.name) {
                put(series, None, &name);
            }
        }
    }
    Verdict::Keep
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

/// Sets a label, or the metric's name; a name does not become empty.
fn put(series: &mut Series, label: Option<&str>, value: &str) {
    match label {
        None if value.is_empty() => {}
        None => series.name = value.into(),
        Some(key) => labels(series).set(key, value),
    }
}

/// A template filled in.
fn template(template: &str, subsystem: &str, metric: &str, name: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('}').ok_or("a brace does not close")?;
        out.push_str(match &rest[at..=at + end] {
            "{subsystem}" => subsystem,
            "{metric}" => metric,
            "{name}" => name,
            other => {
                return Err(format!(
                    "`{other}` is neither `{{subsystem}}`, `{{metric}}` nor `{{name}}`"
                ));
            }
        });
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    if out.is_empty() {
        Err("is empty".into())
    } else {
        Ok(out)
    }
}
