//! Who a series becomes: pure, asked for the demand as well.

use std::sync::Arc;

use pipeline::telemetry::RuleUse;
use pipeline::{
    Attributes, Context, Error, Head, Kind, PerSeries, Result, Series, Temporality, Verdict,
};

use crate::config::{AggregateRule, Config, Function};

/// The rules, checked.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<AggregateRule>,
    /// What each has matched.
    uses: Vec<Arc<RuleUse>>,
}

impl Rules {
    pub(crate) fn new(config: Config, context: &Context) -> Result<Rules> {
        for (index, rule) in config.rules.iter().enumerate() {
            let error = match (&rule.without, &rule.by) {
                (Some(_), None) | (None, Some(_)) => continue,
                (None, None) => "says which labels go, in `without`, or which stay, in `by`",
                (Some(_), Some(_)) => "takes either `without` or `by`",
            };
            return Err(Error::at(format!("rules.{index}"), error));
        }
        let rules = config.rules.iter().enumerate();
        let uses = rules.map(|(index, rule)| {
            let path = format!("rules.{index}");
            context.rule(RuleUse::new(path, false, rule.r#match.subsystem()))
        });
        Ok(Rules {
            uses: uses.collect(),
            rules: config.rules,
        })
    }

    /// The rule for a series. Histograms have none: they go on as they are.
    pub(crate) fn find(&self, series: &Series) -> Option<&AggregateRule> {
        let number = matches!(series.kind, Kind::Unknown | Kind::Gauge | Kind::Sum { .. });
        let mut rules = self.rules.iter().filter(|_| number);
        rules.find(|rule| rule.r#match.is_match(series))
    }

    /// Whether another series of this name may be put together with others.
    pub(crate) fn name(&self, name: &str) -> bool {
        let name_matches = |rule: &AggregateRule| {
            rule.r#match
                .name
                .as_ref()
                .is_none_or(|it| it.is_match(name))
        };
        self.rules.iter().any(name_matches)
    }
}

/// What a series becomes a member of.
pub(crate) fn group(rule: &AggregateRule, member: &Series) -> Series {
    let stays = |key: &str| match (&rule.without, &rule.by) {
        (Some(without), _) => !without.iter().any(|it| it == key),
        (None, by) => by.iter().flatten().any(|it| it == key),
    };
    let kept = member.attributes.iter().filter(|(key, _)| stays(key));
    let kept: Attributes = kept
        .map(|(key, value)| (Arc::clone(key), value.clone()))
        .collect();
    let mut series = Series::of(Arc::clone(&member.metric), Arc::new(kept));
    let kind = kind(rule, &member.kind);
    if kind != series.kind {
        series.kind = kind;
    }
    series
}

/// What the values of a kind become. The sum of counters of which one may leave is no counter; a mean, and the
/// smallest or largest, cannot be added up any more.
fn kind(rule: &AggregateRule, member: &Kind) -> Kind {
    match (member, rule.function) {
        (
            Kind::Sum {
                monotonic: true,
                temporality: Temporality::Cumulative,
            },
            Function::Sum,
        ) if rule.members_leave => Kind::UP_DOWN_COUNTER,
        (Kind::Sum { .. }, Function::Sum) | (Kind::Unknown, _) => member.clone(),
        _ => Kind::Gauge,
    }
}

impl PerSeries for Rules {
    fn rewrite(&self, _: &Head, series: &mut Series) -> Verdict {
        for (rule, rule_use) in self.rules.iter().zip(&self.uses) {
            rule_use.ask(&rule.r#match, series);
        }
        if let Some(rule) = self.find(series) {
            *series = group(rule, series);
        }
        Verdict::Keep
    }
}
