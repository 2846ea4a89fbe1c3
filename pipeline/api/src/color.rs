//! Whether what is written for people is coloured.

/// When to colour what is written for people, as the command line and the environment say it: `--color`, and `NO_COLOR`, which
/// is `Never` ([no-color.org](https://no-color.org)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal.
    #[default]
    Auto,
    /// Wherever it goes.
    Always,
    /// Nowhere.
    Never,
}

impl ColorChoice {
    /// Whether to colour what goes to a terminal, or to something else.
    #[must_use]
    pub fn is_colored(self, is_terminal: bool) -> bool {
        match self {
            ColorChoice::Auto => is_terminal,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}
