//! What a machine may lack.

use std::io::Write;

/// What a test needs besides Rust: where it is not there, one line says so, past the test runner's capture; in CI that
/// is a failure.
pub(crate) fn lacks(test: &str, what: &str) {
    // Not `eprintln!`: the runner would keep it for failures only.
    let _ = writeln!(std::io::stderr(), "{test} was left out: it needs {what}");
    assert!(
        std::env::var_os("CI").is_none_or(|it| it != "true"),
        "CI has to have {what}"
    );
}
