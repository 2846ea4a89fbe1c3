//! One limit for all warnings: each kind of failure is logged once, and then counted by whoever counts it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many kinds of failure are logged at once; then one a minute, whatever its kind.
const MAX_KINDS: usize = 50;

/// So many times a message's details are looked at, to see whether they are of a new kind; then once a minute.
const MAX_LOOKS: u32 = 50;

/// So many times a minute the same message is logged of a state that comes and goes.
const MAX_REPEATED: u32 = 10;

/// From one warning to the next where there are more.
const INTERVAL: Duration = Duration::from_mins(1);

/// The most bytes that are logged of a text that comes from elsewhere.
const MAX_BYTES: usize = 1_000;

/// Logs the warnings of one component: of each kind of failure the first one. Two are of one kind if they have the same
/// message, and details that differ in digits and ids only. Clones share what was logged.
#[derive(Clone, Debug)]
pub struct Warnings {
    component: Arc<str>,
    limit: Arc<Mutex<WarningLimit>>,
}

#[derive(Debug, Default)]
struct WarningLimit {
    kinds: HashSet<u64>,
    /// When the last warning beyond the number of kinds was logged.
    last: Option<Instant>,
    /// By message: how often its details were looked at, and when last.
    looks: HashMap<&'static str, (u32, Instant)>,
    /// By message, for what may be logged again: how often it was since then, in this minute.
    repeated: HashMap<&'static str, (u32, Instant)>,
}

/// What became of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningOutcome {
    /// It was logged.
    Logged,
    /// One of its kind was logged before.
    Known,
    /// There are too many kinds: it may be logged later.
    Postponed,
}

impl Warnings {
    /// None was logged yet.
    #[must_use]
    pub fn new(component: &Arc<str>) -> Warnings {
        Warnings {
            component: Arc::clone(component),
            limit: Arc::default(),
        }
    }

    /// Logs a warning, unless one of its kind was logged before: what happened, in constant words, and the details, cut off
    /// after 1,000 bytes.
    #[allow(clippy::must_use_candidate)] // most do not ask
    pub fn warn(&self, message: &'static str, detail: &str) -> WarningOutcome {
        let outcome = self.lock().outcome(message, detail);
        if outcome == WarningOutcome::Logged {
            self.log(message, detail);
        }
        outcome
    }

    /// The same for what may come very often: `detail` is called for the first fifty times only, and then once a minute.
    pub fn warn_with(&self, message: &'static str, detail: impl FnOnce() -> String) {
        if self.lock().is_to_be_looked_at(message) {
            self.warn(message, &detail());
        }
    }

    /// Logs that something is so again: a state that comes and goes. Ten times a minute at the most for each message.
    pub fn warn_again(&self, message: &'static str, detail: &str) {
        if self.lock().may_repeat(message) {
            self.log(message, detail);
        }
    }

    fn log(&self, message: &'static str, detail: &str) {
        let component = &*self.component;
        let detail = bounded(detail);
        let detail = (!detail.is_empty()).then_some(&*detail);
        tracing::warn!(component, detail, "{message}");
    }

    fn lock(&self) -> MutexGuard<'_, WarningLimit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WarningLimit {
    fn outcome(&mut self, message: &str, detail: &str) -> WarningOutcome {
        let mut hasher = DefaultHasher::new();
        (message, kind(detail)).hash(&mut hasher);
        let kind = hasher.finish();
        if self.kinds.contains(&kind) {
            return WarningOutcome::Known;
        }
        if self.kinds.len() < MAX_KINDS {
            self.kinds.insert(kind);
            return WarningOutcome::Logged;
        }
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < INTERVAL) {
            return WarningOutcome::Postponed;
        }
        self.last = Some(now);
        WarningOutcome::Logged
    }

    fn may_repeat(&mut self, message: &'static str) -> bool {
        let now = Instant::now();
        let (count, since) = self.repeated.entry(message).or_insert((0, now));
        if now - *since >= INTERVAL {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
        *count <= MAX_REPEATED
    }

    fn is_to_be_looked_at(&mut self, message: &'static str) -> bool {
        let now = Instant::now();
        let (looks, last) = self.looks.entry(message).or_insert((0, now));
        let is_due = *looks < MAX_LOOKS || now - *last >= INTERVAL;
        if is_due {
            (*looks, *last) = (looks.saturating_add(1), now);
        }
        is_due
    }
}

/// As much of a text as is logged: what is beyond 1,000 bytes is cut off. Logs quote it, so that it stays on its line.
#[must_use]
pub fn bounded(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(MAX_BYTES);
    if end == text.len() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

/// The text without what tells two failures of one kind apart: words with digits in them, and long hexadecimal words.
fn kind(detail: &str) -> String {
    let is_id = |word: &str| {
        let is_hexadecimal = word.len() >= 8 && word.bytes().all(|it| it.is_ascii_hexdigit());
        is_hexadecimal || word.contains(|c: char| c.is_ascii_digit())
    };
    let mut kind = String::with_capacity(detail.len().min(MAX_BYTES));
    let logged = &detail[..detail.floor_char_boundary(MAX_BYTES)];
    for part in logged.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
        kind.push_str(if is_id(word) { "#" } else { word });
        kind.push_str(&part[word.len()..]);
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_are_of_one_kind_that_differ_in_digits_and_ids() {
        assert_eq!(
            kind("peer 10.0.0.7:4317 has gone"),
            "peer #.#.#.#:# has gone"
        );
        assert_eq!(
            kind("request 0f9a2c11-deadbeef failed"),
            kind("request 77777777-cafecafe failed")
        );
        assert_ne!(kind("connection refused"), kind("connection reset"));
    }

    #[test]
    fn a_text_is_of_bounded_length() {
        assert_eq!(bounded("plain ö"), "plain ö");
        let long = "é".repeat(2_000);
        assert!(bounded(&long).len() <= MAX_BYTES + 3 && bounded(&long).ends_with('…'));
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_logged_once_and_after_many_one_a_minute() {
        use WarningOutcome::{Known, Logged, Postponed};
        let warnings = Warnings::new(&"test".into());
        assert_eq!(warnings.warn("broken", "file 1"), Logged);
        assert_eq!(warnings.warn("broken", "file 2"), Known);
        let word = |number: usize| "x".repeat(number + 1);
        for number in 1..=MAX_KINDS {
            assert_eq!(warnings.warn("broken", &word(number)), Logged);
        }
        assert_eq!(warnings.warn("broken", &word(MAX_KINDS + 1)), Postponed);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(warnings.warn("broken", &word(MAX_KINDS + 1)), Logged);
        assert_eq!(warnings.warn("broken", "file 3"), Known, "from before");
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_that_comes_and_goes_is_logged_each_time_but_ten_times_a_minute() {
        let warnings = Warnings::new(&"test".into());
        let count = || {
            let logged = (0..100).filter(|_| warnings.lock().may_repeat("failing"));
            logged.count()
        };
        assert_eq!((count(), count()), (10, 0));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn details_that_come_very_often_are_made_a_few_times_and_then_once_a_minute() {
        let warnings = Warnings::new(&"test".into());
        let mut made = 0;
        for number in 0..10_000 {
            warnings.warn_with("duplicate", || {
                made += 1;
                format!("series {number}")
            });
        }
        assert_eq!(made, MAX_LOOKS);
        tokio::time::advance(INTERVAL).await;
        warnings.warn_with("duplicate", || {
            made += 1;
            String::new()
        });
        assert_eq!(made, MAX_LOOKS + 1);
    }
}
