//! docs/troubleshooting.md has a line for each message and counter of the program: read out of its sources.

use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::common::repository;

/// Texts that look like messages and are none.
const NO_MESSAGES: [&str; 25] = [
    "a value without a key", // serde asks for the key first
    "a nonzero",             // serde's word, looked for
    ": transport error",     // a library's words, taken out
    "(os error 13)",         // a library's words, looked for
    " as u128,",             // a library's words, looked for
    " as i128,",
    // An exposition, and what it is called:
    "target_info{{{labels}}} 1",
    "text/plain; version=0.0.4",
    "text/plain; version=1.0.0",
    "application/openmetrics-text; version=1.0.0",
    "{media}; charset=utf-8; escaping={escaping}",
    "Accept, Accept-Encoding",
    "# HELP {quoted} {help}\n# TYPE {quoted} {kind}",
    "# HELP target_info Target metadata\n# TYPE target_info gauge\n",
    "{name}/{version} (linux/{})",              // what the peer is told
    "metric.type = starts_with(\"{prefix}/\")", // what is asked for
    "failed with: ",                            // what the API puts before its reason, looked for
    // How peers say that a message is too large, looked for:
    "larger than max",
    "than max ",
    "exceeds maximum size",
    "maximum size ",
    "message length too large",
    "limit is: ",
    "while decompressing message",
    "limit, of ",
];

/// Messages and counters in the sources of the program.
#[derive(Default)]
struct SourceTexts {
    /// String literals of several words, be some of them `{…}`.
    messages: BTreeSet<String>,
    /// Names of counters and of reasons.
    counters: BTreeSet<String>,
}

impl SourceTexts {
    /// All Rust below this folder, but for tests, fakes and benchmarks.
    fn add(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !matches!(name, "tests" | "testing" | "benches" | "fake") {
                self.add(&path);
            } else if path.extension().is_some_and(|it| it == "rs") && name != "tests.rs" {
                let source = std::fs::read_to_string(&path).unwrap();
                let tokens: TokenStream = source.parse().unwrap();
                self.read(tokens);
            }
        }
    }

    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let word = |at: usize| match tokens.get(at) {
            Some(TokenTree::Ident(it)) => it.to_string(),
            Some(TokenTree::Punct(it)) => it.to_string(),
            _ => String::new(),
        };
        let mut is_test = false;
        for (at, token) in tokens.iter().enumerate() {
            let before = [3, 2, 1].map(|back| at.checked_sub(back).map_or(String::new(), word));
            let [.., bang, hash] = &before;
            match token {
                // Attributes, doc comments among them: `#[…]`, `#![…]`.
                TokenTree::Group(it)
                    if it.delimiter() == Delimiter::Bracket
                        && (hash == "#" || (bang == "#" && hash == "!")) =>
                {
                    let text = it.stream().to_string();
                    is_test |= matches!(text.as_str(), "test" | "cfg (test)");
                }
                TokenTree::Group(it) if is_test && it.delimiter() == Delimiter::Brace => {
                    is_test = false;
                }
                // A place in the configuration, and what is wrong there.
                TokenTree::Group(it) if hash == "at" => self.read(it.stream()),
                // Not for users: why a thing holds.
                TokenTree::Group(_)
                    if hash == "expect" || (hash == "!" && bang.contains("assert")) => {}
                TokenTree::Group(it) => {
                    // A name, and most often a reason; what is behind them is of no interest.
                    let names = match hash.as_str() {
                        // Of a map of counters; a function of that name sets something else.
                        "set" if bang == "." => 1,
                        "Reason" | "loss" | "intended" | "sum" | "maximum" | "gauge"
                        | "record_for" | "record" | "record_once" | "count" => 1,
                        _ => 0,
                    };
                    self.counted(it.stream(), names);
                    self.read(it.stream());
                }
                TokenTree::Ident(it) if it == "reason" && word(at + 1) == "=" => {
                    let end = (at..tokens.len()).find(|at| word(*at) == ";");
                    let chosen = &tokens[at..end.unwrap_or(tokens.len())];
                    for token in chosen {
                        if let TokenTree::Group(it) = token {
                            self.counted(it.stream(), 2);
                        }
                    }
                }
                TokenTree::Literal(_) => {
                    let is_message = |text: &String| {
                        text.trim().contains(' ') && pieces(text).any(|it| it.len() > 3)
                    };
                    self.messages.extend(text(token).filter(is_message));
                }
                _ => {}
            }
        }
    }

    /// The names in a call that counts, or in a pair of a reason and its message.
    fn counted(&mut self, tokens: TokenStream, names: usize) {
        let texts: Vec<Option<String>> = tokens.into_iter().map(|it| text(&it)).collect();
        let is_name = |text: &&String| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
        };
        let pair = |text: &str| text.contains(' ');
        match texts.as_slice() {
            _ if names > 0 => {
                let names = texts.iter().flatten().take(names).filter(is_name);
                self.counters.extend(names.cloned());
            }
            [Some(name), None, Some(message), ..] if pair(message) && is_name(&name) => {
                self.counters.insert(name.clone());
            }
            _ => {}
        }
    }
}

/// A string literal's text.
fn text(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Literal(it) => match syn::Lit::new(it.clone()) {
            syn::Lit::Str(it) => Some(it.value()),
            _ => None,
        },
        _ => None,
    }
}

/// What is fixed of a message: the words between its `{…}`.
fn pieces(message: &str) -> impl Iterator<Item = String> {
    let (open, close) = ("\u{1}", "\u{2}");
    let plain = message.replace("{{", open).replace("}}", close);
    let mut pieces: Vec<String> = Vec::new();
    for part in plain.split('{') {
        let fixed = part.split_once('}').map_or(part, |(_, fixed)| fixed);
        pieces.push(fixed.replace(open, "{").replace(close, "}"));
    }
    let trimmed = |it: String| {
        it.trim_matches(|c: char| !c.is_alphanumeric())
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    pieces.into_iter().map(trimmed).filter(|it| !it.is_empty())
}

/// Whether a line has all that is fixed of a message, in its order.
fn has(line: &str, message: &str) -> bool {
    let mut rest = line;
    pieces(message).all(|piece| match rest.find(&piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn all_that_the_program_may_say_has_a_line() {
    // What metrics mean is in a document of theirs.
    let documents = ["docs/troubleshooting.md", "docs/telemetry.md"];
    let documents = documents.map(|it| std::fs::read_to_string(repository(it)).unwrap());
    let document = documents.concat();
    let mut sources = SourceTexts::default();
    for directory in [
        "pipeline",
        "receivers",
        "processors",
        "exporters",
        "extensions",
    ] {
        sources.add(&repository(directory));
    }
    // The reading itself works: one of each kind.
    for known in [
        "{lost} points are lost",
        "several values in one file; passed over (`drop` it by name in `labels`)",
        "{name} is empty",
    ] {
        assert!(
            sources.messages.contains(known),
            "{known}: {:#?}",
            sources.messages
        );
    }
    for known in [
        "points_dropped",
        "queue_full",
        "lockdown",
        "not_due",
        "shutdown",
        "series_refused",
    ] {
        assert!(
            sources.counters.contains(known),
            "{known}: {:#?}",
            sources.counters
        );
    }
    for none in NO_MESSAGES {
        assert!(sources.messages.contains(none), "{none} is gone");
    }
    let lacks: Vec<&String> = sources
        .messages
        .iter()
        .filter(|it| !NO_MESSAGES.contains(&it.as_str()))
        .filter(|it| !document.lines().any(|line| has(line, it)))
        .collect();
    let lacks_counters: Vec<&String> = sources
        .counters
        .iter()
        .filter(|it| !document.contains(&format!("`{it}`")))
        .collect();
    assert!(
        lacks.is_empty() && lacks_counters.is_empty(),
        "docs/troubleshooting.md has no line for {lacks:#?} and {lacks_counters:#?}"
    );
}
