//! The error of a component.

use std::fmt;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a component answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a component could not be built, or had to end. In `build` it can say which of its own keys is to blame.
#[derive(Debug)]
pub struct Error {
    path: String,
    source: BoxError,
}

impl Error {
    /// An error of this cause.
    pub fn new(source: impl Into<BoxError>) -> Error {
        Error {
            path: String::new(),
            source: source.into(),
        }
    }

    /// An error in the component's own configuration, at this path below its id (`tls.ca_file`, `rules.2.unit`).
    pub fn at(path: impl Into<String>, source: impl Into<BoxError>) -> Error {
        Error {
            path: path.into(),
            source: source.into(),
        }
    }

    /// The path below the component's id; empty if it is none of its keys.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// A text about an error, with the causes below it that say more, each once.
#[must_use]
pub fn with_causes(mut text: String, error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    for cause in causes.map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
