//! Series on the standard output of the program, counted while it runs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};

/// How often each series had a value, and how often it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesCounts(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    series: BTreeMap<String, [u64; 2]>,
    is_over: bool,
}

impl SeriesCounts {
    /// Reads the standard output, in the text notation, from now on. No label has a blank in it.
    pub(crate) fn of(child: &mut Child) -> SeriesCounts {
        let all = SeriesCounts::default();
        let (to, from) = (all.clone(), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let (counts, more) = &*to.0;
            for line in BufReader::new(from).lines() {
                let line = line.unwrap();
                let (series, rest) = line.split_once(' ').unwrap();
                let has_ended = rest.trim_start().starts_with("end");
                let mut counts = counts.lock().unwrap();
                let count = counts.series.entry(series.into()).or_default();
                count[usize::from(has_ended)] += 1;
                more.notify_all();
            }
            counts.lock().unwrap().is_over = true;
            more.notify_all();
        });
        all
    }

    /// How often a series had a value.
    pub(crate) fn values(&self, series: &str) -> u64 {
        self.counts(series)[0]
    }

    /// How often a series ended.
    pub(crate) fn ends(&self, series: &str) -> u64 {
        self.counts(series)[1]
    }

    fn counts(&self, series: &str) -> [u64; 2] {
        let counts = self.0.0.lock().unwrap();
        counts.series.get(series).copied().unwrap_or_default()
    }

    /// Waits until a series has had so many more values.
    pub(crate) fn wait_for(&self, series: &str, more: u64) {
        self.wait_until(series, self.values(series) + more);
    }

    /// Waits until a series has had so many values.
    pub(crate) fn wait_until(&self, series: &str, values: u64) {
        let (counts, more) = &*self.0;
        let lacks = |counts: &mut State| {
            let shown = counts.series.get(series).is_none_or(|it| it[0] < values);
            shown && !counts.is_over
        };
        let counts = more.wait_while(counts.lock().unwrap(), lacks).unwrap();
        let shown = counts.series.get(series).copied().unwrap_or_default()[0];
        assert!(
            shown >= values,
            "ended before {series} was shown {values} times"
        );
    }
}
