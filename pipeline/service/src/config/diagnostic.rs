//! What is wrong in a configuration, as the user sees it: place, line with a mark, path, and what would be right.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use pipeline::config::{Expected, Origin, Problem};
use pipeline::telemetry::{bounded, escaped};

use super::source_line::{self, SourceLine};

/// A text that is part of the configuration: a file, standard input, a `--set`.
#[derive(Debug)]
pub(crate) struct SourceText {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// One mistake, or one thing that is odd.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Diagnostic {
    pub(crate) is_error: bool,
    pub(crate) message: String,
    /// Which text, and where in it.
    pub(crate) place: Option<(usize, Range<usize>)>,
    /// The whole path of the key; empty where it is about a text as such.
    pub(crate) path: Vec<String>,
    pub(crate) help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn error(message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            is_error: true,
            message: message.into(),
            place: None,
            path: Vec::new(),
            help: None,
        }
    }

    pub(crate) fn warning(message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            is_error: false,
            ..Diagnostic::error(message)
        }
    }

    /// About the value there.
    pub(crate) fn at_value(mut self, origin: Option<&Origin>) -> Diagnostic {
        self.place = origin.map(|origin| (origin.text, origin.value.clone()));
        self
    }

    /// About the key there, or the value where there is no key.
    pub(crate) fn at_key(mut self, origin: Option<&Origin>) -> Diagnostic {
        self.place = origin.map(|origin| {
            (
                origin.text,
                origin.key.clone().unwrap_or(origin.value.clone()),
            )
        });
        self
    }

    pub(crate) fn path<S: AsRef<str>>(mut self, path: &[S]) -> Diagnostic {
        self.path = path.iter().map(|part| part.as_ref().to_owned()).collect();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// From what decoding found in the node at `base`.
    pub(crate) fn of(problem: &Problem, base: &[&str]) -> Diagnostic {
        let path: Vec<&str> = base
            .iter()
            .copied()
            .chain(problem.path.iter().map(String::as_str))
            .collect();
        let diagnostic = Diagnostic::error(&problem.message).path(&path);
        let origin = problem.origin.as_ref();
        match &problem.expected {
            Expected::Key(key, allowed) => diagnostic.at_key(origin).help(nearest(key, allowed)),
            Expected::Value(value, allowed) => {
                diagnostic.at_value(origin).help(nearest(value, allowed))
            }
            Expected::Unspecified if problem.message.starts_with("missing key") => {
                diagnostic.at_key(origin)
            }
            Expected::Unspecified => diagnostic.at_value(origin),
        }
    }

    pub(crate) fn render(&self, texts: &[SourceText]) -> String {
        let level = if self.is_error {
            Level::ERROR
        } else {
            Level::WARNING
        };
        let mut group = Group::with_title(level.primary_title(escaped(&self.message)));
        let label = &*escaped(self.help.as_deref().unwrap_or_default());
        if let Some((text, span)) = &self.place {
            let SourceText { name, text } = &texts[*text];
            let line = SourceLine::new(text, span);
            let mark = AnnotationKind::Primary.span(line.mark).label(label);
            group = group.element(
                Snippet::source(line.text)
                    .path(escaped(name))
                    .line_start(line.number)
                    .annotation(mark),
            );
        } else if !label.is_empty() {
            group = group.element(Level::HELP.message(label));
        }
        let path = format!("at {}", self.path.join("."));
        if !self.path.is_empty() {
            group = group.element(Level::NOTE.message(escaped(&path)));
        }
        Renderer::plain().render(&[group])
    }
}

/// All of them as text.
pub(crate) fn render(all: &[Diagnostic], texts: &[SourceText]) -> String {
    let mut out = String::new();
    for diagnostic in sorted(all) {
        let _ = writeln!(out, "{}\n", diagnostic.render(texts));
    }
    out
}

/// The same as logs, one line each: for a program whose logs are read by programs.
pub(crate) fn log(all: &[Diagnostic], texts: &[SourceText]) {
    for diagnostic in sorted(all) {
        let error = &*bounded(&diagnostic.message);
        let path = diagnostic.path.join(".");
        let help = diagnostic.help.as_deref();
        let place = diagnostic.place.as_ref();
        let file = place.map(|(text, _)| texts[*text].name.as_str());
        let (line, column) = place
            .map(|(text, span)| position(&texts[*text].text, span.start))
            .unzip();
        if diagnostic.is_error {
            tracing::error!(
                error,
                path,
                file,
                line,
                column,
                help,
                "a mistake in the configuration"
            );
        } else {
            tracing::warn!(
                error,
                path,
                file,
                line,
                column,
                help,
                "odd in the configuration"
            );
        }
    }
}

/// In the order of the texts; errors last, so that they stand nearest to the prompt.
fn sorted(all: &[Diagnostic]) -> Vec<&Diagnostic> {
    let place = |it: &Diagnostic| it.place.as_ref().map(|(text, span)| (*text, span.start));
    let mut sorted: Vec<&Diagnostic> = all.iter().collect();
    sorted.sort_by_key(|it| (it.is_error, place(it)));
    sorted
}

/// Line and column, from 1, of a byte.
fn position(text: &str, at: usize) -> (usize, usize) {
    let at = text.floor_char_boundary(at);
    let (start, number) = source_line::line_of(text, at);
    (number, 1 + text[start..at].chars().count())
}

/// «did you mean …», or all that would be right.
pub(crate) fn nearest<S: AsRef<str>>(found: &str, allowed: &[S]) -> String {
    let near = allowed
        .iter()
        .map(AsRef::as_ref)
        .map(|it| (strsim::osa_distance(found, it), it));
    match near
        .filter(|(distance, it)| *distance <= it.len().max(3) / 3)
        .min()
    {
        Some((_, it)) => format!("did you mean `{it}`?"),
        None if allowed.is_empty() => "no key is allowed here".into(),
        None => format!(
            "allowed: {}",
            allowed
                .iter()
                .map(|it| format!("`{}`", it.as_ref()))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}
