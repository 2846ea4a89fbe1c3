//! One limit for all warnings: each kind of failure is logged once, and then counted by whoever counts it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many kinds of failure are logged at once; then one a minute, whatever its kind.
const MAX_KINDS: usize = 50;

/// From one warning to the next where there are more kinds.
const INTERVAL: Duration = Duration::from_mins(1);

/// The most bytes that are shown of a text that comes from elsewhere.
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

    /// Logs a warning, unless one of its kind was logged before: what happened, in constant words, and the details, on
    /// one line and cut off after 1,000 bytes.
    pub fn warn(&self, message: &'static str, detail: &str) {
        if self.is_due(message, detail) {
            let component = &*self.component;
            tracing::warn!(component, detail = &*one_line(detail), "{message}");
        }
    }

    /// Whether a warning of this kind is to be logged now; `detail` is made only where it has to be known.
    pub fn warn_with(&self, message: &'static str, detail: impl FnOnce() -> String) {
        if !self.is_silent() {
            self.warn(message, &detail());
        }
    }

    fn is_due(&self, message: &str, detail: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (message, kind(detail)).hash(&mut hasher);
        let kind = hasher.finish();
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if limit.kinds.contains(&kind) {
            return false;
        }
        if limit.kinds.len() < MAX_KINDS {
            return limit.kinds.insert(kind);
        }
        let now = Instant::now();
        let is_due = limit.last.is_none_or(|last| now - last >= INTERVAL);
        if is_due {
            limit.last = Some(now);
        }
        is_due
    }

    /// Whether nothing at all would be logged now.
    fn is_silent(&self) -> bool {
        let limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        limit.kinds.len() >= MAX_KINDS && limit.last.is_some_and(|last| last.elapsed() < INTERVAL)
    }
}

/// A text on one line: control characters are escaped, and what is beyond 1,000 bytes is cut off.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(MAX_BYTES);
    let (shown, is_cut) = (&text[..end], end < text.len());
    if !is_cut && !shown.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(shown.len() + 3);
    for c in shown.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if is_cut {
        line.push('…');
    }
    Cow::Owned(line)
}

/// The text without what tells two failures of one kind apart: words with digits in them, and long hexadecimal words.
fn kind(detail: &str) -> String {
    let is_id = |word: &str| {
        let is_hexadecimal = word.len() >= 8 && word.bytes().all(|it| it.is_ascii_hexdigit());
        is_hexadecimal || word.contains(|c: char| c.is_ascii_digit())
    };
    let mut kind = String::with_capacity(detail.len().min(MAX_BYTES));
    let shown = &detail[..detail.floor_char_boundary(MAX_BYTES)];
    for part in shown.split_inclusive(|c: char| !c.is_alphanumeric()) {
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
    fn a_text_is_one_line_of_bounded_length() {
        assert_eq!(one_line("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(one_line("plain ö"), "plain ö");
        let long = "é".repeat(2_000);
        assert!(one_line(&long).len() <= MAX_BYTES + 3 && one_line(&long).ends_with('…'));
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_logged_once_and_after_many_one_a_minute() {
        let warnings = Warnings::new(&"test".into());
        assert!(warnings.is_due("broken", "file 1"));
        assert!(!warnings.is_due("broken", "file 2"));
        let word = |number: usize| "x".repeat(number + 1);
        for number in 1..MAX_KINDS {
            assert!(warnings.is_due("broken", &word(number)));
        }
        assert!(warnings.is_due("broken", &word(MAX_KINDS)));
        assert!(!warnings.is_due("broken", &word(MAX_KINDS + 1)));
        assert!(warnings.is_silent());
        tokio::time::advance(INTERVAL).await;
        assert!(warnings.is_due("broken", &word(MAX_KINDS + 1)));
        assert!(!warnings.is_due("broken", "file 3"), "known from before");
    }
}
