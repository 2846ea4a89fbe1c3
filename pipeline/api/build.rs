//! There for the `links` key of Cargo.toml, which asks for one.

fn main() {}
