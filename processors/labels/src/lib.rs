#![doc = include_str!("../README.md")]

mod act;
mod check;
mod config;
mod near_miss;
mod template;

use std::sync::Arc;

use pipeline::telemetry::RuleUse;
use pipeline::{
    Component, Context, Error, Explanation, Head, Match, PerSeries, Result, Series, Verdict,
};

use act::{Outcome, act};
pub use config::{Action, Config, Delete, Extract, Map, Name, Only, Rename, Replace, Set};
use near_miss::near_miss;

/// Rewrites labels and names, and drops series by them.
#[derive(Debug)]
pub struct Labels {
    /// With what each has matched.
    actions: Vec<(Action, Arc<RuleUse>)>,
}

pipeline::register! { per_series Labels }

impl Component for Labels {
    const TYPE: &'static str = "labels";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Labels> {
        let mut actions = Vec::new();
        for (index, action) in config.actions.into_iter().enumerate() {
            if let Err((key, why)) = check::check(&action) {
                return Err(Error::at(format!("actions.{index}.{key}"), why));
            }
            let (name, r#match) = parts(&action);
            let drops = matches!(action, Action::Drop(_));
            let path = format!("actions.{index}.{name}");
            let rule = context.rule(RuleUse::new(path, drops, r#match.subsystem()));
            actions.push((action, rule));
        }
        Ok(Labels { actions })
    }
}

impl PerSeries for Labels {
    fn rewrite(&self, head: &Head, series: &mut Series) -> Verdict {
        match self.act(head, series) {
            None => Verdict::Keep,
            Some(_) => Verdict::Drop,
        }
    }

    fn explain(&self, head: &Head, series: &Series) -> Explanation {
        let dropped_by = self.act(head, &mut series.clone());
        let mut explanation = Explanation::default();
        explanation.dropped_by = dropped_by.map(|rule| rule.path().to_owned().into());
        explanation
    }
}

impl Labels {
    /// Does the actions, up to the one that drops the series.
    fn act(&self, head: &Head, series: &mut Series) -> Option<&RuleUse> {
        let is_open = self.actions.iter().any(|(_, rule)| rule.is_open());
        let before = is_open.then(|| series.clone());
        for (action, rule) in &self.actions {
            let outcome = if parts(action).1.is_match(series) {
                act(action, head, series)
            } else if matches!(action, Action::Keep(_)) {
                Outcome::Dropped
            } else {
                Outcome::Unchanged
            };
            if let Some(before) = &before {
                let matched = match action {
                    Action::Drop(_) => Outcome::Dropped,
                    _ => Outcome::Done,
                };
                rule.record(outcome == matched, || near_miss(action, before, series));
            }
            if outcome == Outcome::Dropped {
                return Some(rule);
            }
        }
        None
    }
}

/// An action's name, and which series it is for.
fn parts(action: &Action) -> (&'static str, &Match) {
    match action {
        Action::Set(Set { r#match, .. }) => ("set", r#match),
        Action::Rename(Rename { r#match, .. }) => ("rename", r#match),
        Action::Delete(Delete { r#match, .. }) => ("delete", r#match),
        Action::Extract(Extract { r#match, .. }) => ("extract", r#match),
        Action::Map(Map { r#match, .. }) => ("map", r#match),
        Action::Replace(Replace { r#match, .. }) => ("replace", r#match),
        Action::Keep(Only { r#match }) => ("keep", r#match),
        Action::Drop(Only { r#match }) => ("drop", r#match),
        Action::Name(Name { r#match, .. }) => ("name", r#match),
    }
}
