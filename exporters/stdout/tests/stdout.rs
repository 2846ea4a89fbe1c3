//! The contracts.

use exporter_stdout::Stdout;

#[test]
fn it_keeps_the_contracts() {
    for format in ["text", "json", "prometheus"] {
        let yaml = format!("{{format: {format}}}");
        pipeline::testing::assert_contracts::<Stdout>(include_str!("../README.md"), &yaml, "");
    }
}
