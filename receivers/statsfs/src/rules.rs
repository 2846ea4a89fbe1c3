//! The patterns of the configuration, with what each has matched: one that has matched nothing is named after the first scan.

use pipeline::config::{AbsentValues, Pattern};
use pipeline::telemetry::{FoundTree, RuleUse};

use crate::config::{Filter, FormatRule, Priority, ValueFormat};

/// Patterns, and what each has matched.
#[derive(Debug)]
struct Patterns<T>(Vec<(Pattern, RuleUse, T)>);

impl<T> Patterns<T> {
    /// Patterns at `<key>.<number>` of the configuration.
    fn new(
        key: &str,
        drops: bool,
        patterns: impl IntoIterator<Item = (Pattern, T)>,
    ) -> Patterns<T> {
        let patterns = patterns.into_iter().enumerate();
        let patterns = patterns.map(|(index, (pattern, value))| {
            let path = format!("{key}.{index}");
            let rule = RuleUse::new(path, drops, pattern.first_part());
            (pattern, rule, value)
        });
        Patterns(patterns.collect())
    }

    /// What belongs to the first one that matches.
    fn find(&self, text: &str) -> Option<&T> {
        let mut found = None;
        for (pattern, rule, value) in &self.0 {
            // The others are asked only as long as it is of interest what they match.
            if found.is_some() && !rule.is_open() {
                continue;
            }
            let is_match = pattern.is_match(text);
            rule.record(is_match, || pattern.near_miss(text));
            found = found.or(is_match.then_some(value));
        }
        found
    }

    /// Whether one matches that has no wildcard, and so is about this very text.
    fn names(&self, text: &str) -> bool {
        let mut rules = self.0.iter();
        let named = rules.find(|(pattern, ..)| pattern.is_literal() && pattern.is_match(text));
        named
            .map(|(_, rule, _)| rule.record(true, || None))
            .is_some()
    }

    fn log(&self, component: &str, is_judged: impl Fn(Option<&str>) -> bool) {
        let rules = self.0.iter();
        rules.for_each(|(_, rule, _)| rule.log(component, &is_judged));
    }
}

/// Names to include and to exclude.
#[derive(Debug)]
pub(crate) struct NameFilter {
    include: Patterns<()>,
    exclude: Patterns<()>,
}

impl NameFilter {
    pub(crate) fn new(key: &str, filter: Filter) -> NameFilter {
        let each = |patterns: Vec<Pattern>| patterns.into_iter().map(|it| (it, ()));
        NameFilter {
            include: Patterns::new(&format!("{key}.include"), false, each(filter.include)),
            exclude: Patterns::new(&format!("{key}.exclude"), true, each(filter.exclude)),
        }
    }

    /// Whether this name is included.
    pub(crate) fn is_match(&self, name: &str) -> bool {
        let is_included = self.include.0.is_empty() || self.include.find(name).is_some();
        is_included && self.exclude.find(name).is_none()
    }

    /// Whether this very name is to be included.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.include.names(name)
    }

    /// Ends the first scan; `is_judged`: all names have been seen that there may be.
    pub(crate) fn log(&self, component: &str, is_judged: bool) {
        self.include.log(component, |_| is_judged);
        self.exclude.log(component, |_| is_judged);
    }
}

/// The formats of files, by their paths.
#[derive(Debug)]
pub(crate) struct Formats(Patterns<(Option<ValueFormat>, AbsentValues)>);

impl Formats {
    pub(crate) fn new(rules: Vec<FormatRule>) -> Formats {
        let rules = rules.into_iter();
        let rules = rules.map(|it| (it.r#match, (it.r#as, it.absent)));
        Formats(Patterns::new("formats", false, rules))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    pub(crate) fn find(&self, path: &str) -> Option<&(Option<ValueFormat>, AbsentValues)> {
        self.0.find(path)
    }

    /// Whether one is about this very path.
    pub(crate) fn names(&self, path: &str) -> bool {
        self.0.names(path)
    }

    /// Ends the first scan.
    pub(crate) fn log(&self, component: &str, found: &FoundTree) {
        self.0.log(component, |subsystem| found.is_judge(subsystem));
    }
}

/// The priorities of subsystems, by their names.
#[derive(Debug)]
pub(crate) struct Priorities(Patterns<i32>);

impl Priorities {
    pub(crate) fn new(rules: Vec<Priority>) -> Priorities {
        let rules = rules.into_iter().map(|it| (it.r#match, it.priority));
        Priorities(Patterns::new("priorities", false, rules))
    }

    pub(crate) fn find(&self, subsystem: &str) -> i32 {
        self.0.find(subsystem).copied().unwrap_or_default()
    }

    /// Whether one is about this very subsystem.
    pub(crate) fn names(&self, subsystem: &str) -> bool {
        self.0.names(subsystem)
    }

    /// Ends the first scan.
    pub(crate) fn log(&self, component: &str, found: &FoundTree) {
        for subsystem in found.0.keys() {
            self.0.find(subsystem);
        }
        self.0.log(component, |_| true);
    }
}
