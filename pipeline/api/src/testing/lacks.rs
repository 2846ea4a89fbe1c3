//! What a machine may lack.

use std::io::Write;

/// What a test needs besides Rust (`/dev/kvm`, root, a program): where it is not there, the test returns, and one line says
/// so on standard error, past the test runner's capture.
///
/// # Panics
/// With `CI=true` in the environment: CI has to have all.
pub fn lacks(test: &str, what: &str) {
    // Not `eprintln!`: the runner would keep it for failures only.
    let _ = writeln!(std::io::stderr(), "{test} was left out: it needs {what}");
    assert!(
        std::env::var_os("CI").is_none_or(|it| it != "true"),
        "CI has to have {what}"
    );
}
