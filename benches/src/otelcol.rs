//! The real Collector that others are measured beside.

use std::io;
use std::path::PathBuf;

/// Its program: `OTELCOL`, or what the script makes.
pub(crate) fn program() -> io::Result<PathBuf> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/otelcol-benchmarks");
    let program = std::env::var_os("OTELCOL").map_or_else(|| built.into(), PathBuf::from);
    if program.is_file() {
        return Ok(program);
    }
    let mend = "scripts/otelcol.sh otelcol-benchmarks builds it";
    Err(io::Error::other(mend))
}
