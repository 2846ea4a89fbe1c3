//! The contracts.

use exporter_prometheus::Prometheus;

#[test]
fn it_keeps_the_contracts() {
    for strategy in ["UnderscoreEscapingWithSuffixes", "NoTranslation"] {
        let yaml = format!("{{endpoint: '127.0.0.1:0', translation_strategy: {strategy}}}");
        pipeline::testing::assert_contracts::<Prometheus>(include_str!("../README.md"), &yaml, "");
    }
}
