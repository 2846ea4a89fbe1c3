//! The contracts, and what each source says.

use pipeline::testing::{assert_contracts, blocks, check, check_cases, mistakes};
use processor_metadata::Metadata;

#[test]
fn it_keeps_the_contracts() {
    let input = "net/rx_bytes{device=/eth0} 1\nnet/operstate{device=/eth0} 2\nkvm/exits 3\nother/x 4\nother/y end\nother/z -\n";
    let readme = include_str!("../README.md");
    assert_contracts::<Metadata>(readme, "{}", input);
    let yaml = "{sources: [rules, catalog], unmatched: drop, aggregates: separate, rules: [{match: {name: 'net/*'}, scale: 2}, {match: {labels: {device: /eth0}}, drop: true}]}";
    assert_contracts::<Metadata>(readme, yaml, input);
}

#[test]
fn every_case_gives_what_it_says() {
    check_cases::<Metadata>(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases").as_ref());
}

#[test]
fn a_catalog_of_ones_own_that_is_wrong_is_refused_by_name() {
    let found = mistakes::<Metadata>("catalogs: [/no/such/catalog.yaml]");
    assert!(
        found[0].starts_with("catalogs.0: cannot read /no/such/catalog.yaml: "),
        "{found:?}"
    );
}

#[test]
fn the_readmes_example_makes_bytes_of_infinibands_words() {
    let blocks = blocks(include_str!("../README.md"));
    let of = |info: &str| {
        let block = blocks.iter().filter(|(it, _)| it == info).nth(1);
        block.expect("the example is the second one").1.as_str()
    };
    let config: serde_yaml::Value = serde_yaml::from_str(of("yaml")).unwrap();
    let config = serde_yaml::to_string(&config["processors"]["metadata"]).unwrap();
    let points = |when: &str| {
        let mut lines = of("text").lines();
        let line = lines.find_map(|it| it.trim_end().strip_suffix(when));
        line.expect("a line before and one after").trim_end()
    };
    check::<Metadata>(&config, points("before"), points("after"));
}
