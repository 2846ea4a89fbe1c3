//! `text` on a terminal: a sweep at a time, under the time when it was read.

mod cells;
mod layout;
mod rates;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anstyle::Style;
use pipeline::formats::text;
use pipeline::{Batch, Kind, Series, Value};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) use layout::zero_style;

use layout::Row;
use rates::{Rate, Rates};

/// A sweep of more points is written in parts.
const MAX_POINTS: usize = 10_000;

/// What is to be shown of a sweep, held until all of it is there.
#[derive(Debug)]
pub(crate) struct Screen {
    is_colored: bool,
    rates: Option<Rates>,
    held: Vec<HeldBatch>,
    points: usize,
    /// Which sweep is held, by the component and the subsystem that it is of.
    sweeps: HashMap<String, u64>,
    /// The subsystems of which more of the same sweep comes.
    unfinished: HashSet<Arc<str>>,
    has_written: bool,
}

#[derive(Debug)]
struct HeldBatch {
    batch: Batch,
    /// One a row; none where nobody wants them.
    rates: Vec<Rate>,
}

impl Screen {
    pub(crate) fn new(is_colored: bool, has_rates: bool) -> Screen {
        Screen {
            is_colored,
            rates: has_rates.then(Rates::default),
            held: Vec::new(),
            points: 0,
            sweeps: HashMap::new(),
            unfinished: HashSet::new(),
            has_written: false,
        }
    }

    /// Takes in what a request showed. Gives what has to be written first, for so many columns: what is held of the sweep before,
    /// or what is more than may be held.
    pub(crate) fn take(&mut self, request: &[Batch], columns: usize) -> String {
        let mut previous = String::new();
        for batch in request {
            if self.points >= MAX_POINTS || self.is_of_next_sweep(batch) {
                previous += &self.write(columns);
            }
            self.hold(batch);
        }
        previous
    }

    fn is_of_next_sweep(&self, batch: &Batch) -> bool {
        let held = self.sweeps.get(subsystem(batch));
        held.is_some_and(|number| *number != batch.sweep().number)
    }

    fn hold(&mut self, batch: &Batch) {
        // The end of a sweep has the slot of a table, but is not that.
        let rates = self.rates.as_mut().filter(|_| !batch.table().is_empty());
        let rates = rates.map_or_else(Vec::new, |rates| rates.update(batch));
        let name = &batch.table().head().subsystem;
        if batch.sweep().last {
            self.unfinished.remove(name);
        } else {
            self.unfinished.insert(Arc::clone(name));
        }
        if batch.points() == 0 {
            return;
        }
        let number = batch.sweep().number;
        self.sweeps.insert(subsystem(batch).to_owned(), number);
        self.points += batch.points();
        let batch = batch.clone();
        self.held.push(HeldBatch { batch, rates });
    }

    /// Whether the sweeps that are held have ended.
    pub(crate) fn is_whole(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// What is held, as lines for so many columns. Empty if nothing came since the last time.
    pub(crate) fn write(&mut self, columns: usize) -> String {
        let held = std::mem::take(&mut self.held);
        let points = std::mem::take(&mut self.points);
        self.sweeps.clear();
        self.unfinished.clear();
        if points == 0 {
            return String::new();
        }
        let mut series: Vec<(&HeldBatch, usize)> = Vec::with_capacity(points);
        for held in &held {
            let values = held.batch.values().iter().enumerate();
            let shown = values.filter(|(_, value)| **value != Value::Absent);
            series.extend(shown.map(|(row, _)| (held, row)));
        }
        series.sort_by(|(a, row_a), (b, row_b)| text::order(a.series(*row_a), b.series(*row_b)));
        let times = series
            .iter()
            .map(|(held, row)| held.batch.time_unix_nano(*row));
        let heading = self.heading(times.min().unwrap_or_default(), points);
        let rows: Vec<Row> = series.iter().map(|(held, row)| held.row(*row)).collect();
        heading + &layout::lines(&rows, columns, self.is_colored)
    }

    /// A line with the time of what stands below, after an empty one where something stands above.
    fn heading(&mut self, time_unix_nano: u64, points: usize) -> String {
        let above = if std::mem::replace(&mut self.has_written, true) {
            "\n"
        } else {
            ""
        };
        let style = if self.is_colored {
            Style::new().bold()
        } else {
            Style::new()
        };
        let time = rfc3339(time_unix_nano);
        format!("{above}{style}{time}, {points} series{style:#}\n")
    }
}

impl HeldBatch {
    fn series(&self, row: usize) -> &Series {
        &self.batch.table().series()[row]
    }

    fn row(&self, row: usize) -> Row {
        let series = self.series(row);
        let value = &self.batch.values()[row];
        Row {
            name: text::identity(&series.name, &series.attributes),
            value: cells::value(value),
            rate: cells::rate(self.rates.get(row).copied().unwrap_or(Rate::Unknown)),
            kind: kind(series),
            unit: text::unit(&series.unit),
            detail: cells::detail(value, &series.kind),
        }
    }
}

/// The word for the kind that somebody said a series is of.
fn kind(series: &Series) -> &'static str {
    if series.kind_is_assumed || series.kind == Kind::Unknown {
        "unknown"
    } else {
        text::kind_word(&series.kind)
    }
}

/// What a table slot begins with: the component that made the table, and the subsystem.
fn subsystem(batch: &Batch) -> &str {
    let slot = &batch.table().head().table_slot;
    slot.rsplit_once('/')
        .map_or(&**slot, |(subsystem, _)| subsystem)
}

/// The time to the second, as logs have it.
fn rfc3339(unix_nano: u64) -> String {
    let seconds = i64::try_from(unix_nano / 1_000_000_000).expect("fewer than 2^34");
    let time =
        UtcDateTime::from_unix_timestamp(seconds).expect("64 bits of nanoseconds end in 2554");
    time.format(&Rfc3339).expect("a year of four digits")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use pipeline::{Sweep, Times};

    /// The batches of these points, of this sweep, read at this second.
    fn request(points: &str, sweep: u64, second: u64) -> Vec<Batch> {
        let batches = text::parse(points).unwrap().into_iter();
        let batches = batches.map(|batch| {
            let sweep = Sweep::new(sweep, Duration::from_secs(10), true);
            let times = Times::One(second * 1_000_000_000);
            let starts = Arc::clone(batch.starts_unix_nano());
            let values = batch.values().to_vec();
            Batch::new(Arc::clone(batch.table()), starts, times, values, sweep)
        });
        batches.collect()
    }

    #[test]
    fn all_that_comes_with_one_tick_is_one_block_under_its_time() {
        let mut screen = Screen::new(false, false);
        let requests = [
            request(
                "net/rx{device=lo} 1234567 counter By\nnet/x -",
                1,
                1_700_000_001,
            ),
            request("kvm/exits 0 counter\nkvm/gone end gauge", 1, 1_700_000_000),
            request("kvm/all 5", 1, 1_700_000_002),
        ];
        for request in requests {
            assert_eq!(screen.take(&request, 80), "");
        }
        let expected = "\
2023-11-14T22:13:20Z, 4 series
kvm/all                    5  unknown
kvm/exits                  0  counter
kvm/gone               ended  gauge
net/rx{device=lo}  1,234,567  counter  By
";
        assert_eq!(screen.write(80), expected);
        assert_eq!(screen.write(80), "", "nothing new");
    }

    #[test]
    fn the_next_sweep_of_a_subsystem_begins_a_block() {
        let mut screen = Screen::new(true, true);
        assert_eq!(screen.take(&request("s/a 1 counter", 1, 10), 80), "");
        assert_eq!(screen.take(&request("t/a 1 counter", 8, 10), 80), "");
        let first = screen.take(&request("s/a 5 counter", 2, 12), 80);
        let heading = "\u{1b}[1m1970-01-01T00:00:10Z, 2 series\u{1b}[0m\n";
        assert_eq!(
            first,
            format!("{heading}s/a  1  counter\nt/a  1  counter\n")
        );
        let heading = "\n\u{1b}[1m1970-01-01T00:00:12Z, 1 series\u{1b}[0m\n";
        let line = "s/a  5  2.00/s  counter\n";
        assert_eq!(screen.write(80), format!("{heading}{line}"));
    }

    #[test]
    fn a_sweep_is_whole_when_each_of_its_subsystems_has_ended() {
        let mut screen = Screen::new(false, false);
        let part = |points| vec![request(points, 1, 10)[0].with_last(false)];
        screen.take(&part("s/a 1"), 80);
        screen.take(&request("t/a 1", 1, 10), 80);
        assert!(!screen.is_whole());
        screen.take(&[part("s/a 1")[0].only_last()], 80);
        assert!(screen.is_whole());
        screen.take(&part("s/b 1"), 80);
        screen.write(80);
        assert!(screen.is_whole(), "nothing is held");
    }

    #[test]
    fn rates_stand_beside_counters() {
        let mut screen = Screen::new(false, true);
        let first = request("s/a 0 counter\ns/b 7 gauge", 1, 10);
        screen.take(&first, 80);
        screen.write(80);
        // The end of a sweep in which it was not due.
        screen.take(&[first[0].only_last()], 80);
        let values = vec![Value::Int(2_468), Value::Int(7)];
        let (table, starts) = (
            Arc::clone(first[0].table()),
            Arc::clone(first[0].starts_unix_nano()),
        );
        let sweep = Sweep::new(2, Duration::from_secs(2), true);
        let second = Batch::new(table, starts, Times::One(12_000_000_000), values, sweep);
        screen.take(&[second], 80);
        let lines = "s/a  2,468  1,234/s  counter\ns/b      7           gauge\n";
        assert!(screen.write(80).ends_with(lines));
    }

    #[test]
    fn the_readme_shows_what_it_looks_like() {
        let points = "kvm/exits{vcpu=vcpu0,vm=12301-4} 1000 counter {exit}\n\
             kvm/halt_wait{vcpu=vcpu0,vm=12301-4} 1024.0:47000,65536.0:1205,inf:6;sum:98405000.0 histogram ns\n\
             net/gone{device=eth1} end gauge By\n\
             net/rx_bytes{device=eth0} 228857533 counter By\n\
             net/rx_dropped{device=eth0} 0 counter {packet}\nnet/vendor_word{device=eth0} 7";
        let before = points.replace(" 1000 ", " 500 ").replace("7533 ", "5125 ");
        let mut screen = Screen::new(false, true);
        screen.take(&request(&before, 1, 1_795_680_840), 80);
        screen.write(80);
        screen.take(&request(points, 2, 1_795_680_842), 80);
        let shown = screen.write(120);
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&format!("```text{shown}```")), "{shown}");
    }

    #[test]
    fn no_more_is_held_than_may_be() {
        let mut screen = Screen::new(false, false);
        let points: Vec<String> = (0..MAX_POINTS).map(|row| format!("s/m{row} 1")).collect();
        assert_eq!(screen.take(&request(&points.join("\n"), 1, 0), 80), "");
        let part = screen.take(&request("t/a 1", 1, 0), 80);
        assert_eq!(part.lines().count(), 1 + MAX_POINTS);
        assert_eq!(
            screen.write(80).lines().count(),
            3,
            "an empty line, the time, the series"
        );
    }

    #[test]
    fn no_control_character_comes_through_but_the_end_of_a_line() {
        let points = "\"s/\\u001b[2J\"{k=\"\\u202e\\n\"} 1 gauge \"\\u009b\"";
        let mut screen = Screen::new(false, false);
        screen.take(&request(points, 1, 0), 80);
        let written = screen.write(80);
        let is_odd = |c: char| c != '\n' && pipeline::telemetry::is_control_or_format(c);
        assert!(!written.contains(is_odd), "{written:?}");
        assert_eq!(written.lines().count(), 2);
    }
}
