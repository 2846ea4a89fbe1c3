//! Why a file gives no value.

/// Why a file gives no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Empty,
    /// A number such as `1.5` or `1e3`.
    Float,
    /// `0x1f`.
    Hexadecimal,
    /// `Y`, `off`.
    Bool,
    Integer,
    /// `8 Gbit`, `5%`.
    Unit,
    /// `up`.
    Word,
    /// `Package id 0`.
    Text,
    /// No text at all.
    Binary,
    /// `1 2 3`, or several lines.
    Several,
    OutOfRange,
    TooLarge,
    Permission,
    Lockdown,
    Timeout,
    Stuck,
    Descriptors,
    Io,
}

impl Reason {
    /// The reason of the counter.
    pub(crate) fn name(self) -> &'static str {
        self.texts().0
    }

    /// The cause, as a warning names it, with what helps. A `drop` by name helps in all that is about one file: what nothing
    /// downstream wants is not opened.
    pub(crate) fn cause(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Reason::Empty => (
                "empty",
                "empty file passed over (`drop` it by name in `labels`)",
            ),
            Reason::Float => (
                "not_numeric",
                "a floating-point number; passed over (`as: float` in `formats` reads it)",
            ),
            Reason::Hexadecimal => (
                "not_numeric",
                "a hexadecimal number; passed over (`as: hex` in `formats` reads it)",
            ),
            Reason::Bool => (
                "not_numeric",
                "a truth value; passed over (`as: bool` in `formats` reads it)",
            ),
            Reason::Integer => (
                "not_numeric",
                "an integer; passed over (`as: int` in `formats` reads it)",
            ),
            Reason::Unit => (
                "not_numeric",
                "a number with a unit; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Word => (
                "not_numeric",
                "a word; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Text => (
                "not_numeric",
                "a text; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Binary => (
                "not_numeric",
                "binary data; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Several => (
                "multi_value",
                "several values in one file; passed over (`drop` it by name in `labels`)",
            ),
            Reason::OutOfRange => ("out_of_range", "a number beyond 64 bits; passed over"),
            Reason::TooLarge => (
                "too_large",
                "larger than `limits.value_bytes`; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Permission => (
                "permission",
                "permission denied; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Lockdown => (
                "lockdown",
                "hidden by the kernel's lockdown, as all writable files of debugfs; passed over",
            ),
            Reason::Timeout => (
                "timeout",
                "not read before the sweep's `timeout`; passed over",
            ),
            Reason::Stuck => (
                "stuck",
                "does not answer within `timeout`; passed over until it does",
            ),
            Reason::Descriptors => ("descriptors", "no descriptor left to open it; passed over"),
            Reason::Io => (
                "io",
                "cannot be read; passed over (`drop` it by name in `labels`)",
            ),
        }
    }
}
