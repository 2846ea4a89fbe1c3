//! What the documentation shows is what the program takes.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use pipeline::testing::{assert_readme, blocks};
use pipeline::{Factory, Registration};
use serde_yaml::{Mapping, Value};
use statsfs_collector as _; // all of its components are registered

use crate::common::{lacks, repository, run, text};

/// All markdown of the repository, by its path in it.
fn documents() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(repository("").join(directory)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = directory.join(&name);
            let is_built = name.starts_with('.') || name == "target" || name == "fixtures";
            if entry.file_type().unwrap().is_dir() && !is_built {
                walk(&path, found);
            } else if path.extension().is_some_and(|it| it == "md") {
                found.push((path, std::fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new(""), &mut found);
    found
}

#[test]
fn every_readme_shows_all_options_at_their_defaults() {
    for of in Registration::all() {
        // <kind>/<type>/src/lib.rs
        let directory = Path::new(of.file).ancestors().nth(2).unwrap();
        let readme = repository("").join(directory).join("README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        assert_readme(of, &readme);
        // What stands around a receiver or an exporter is of the service.
        let (_, block) = &blocks(&readme)[0];
        let block: Value = serde_yaml::from_str(block).unwrap_or_default();
        if let Factory::Receiver(_) = &of.factory {
            let optional = &block["receivers"][of.type_name]["optional"];
            assert_eq!(optional, &Value::from(false), "{}", of.type_name);
        }
        if let Factory::Exporter(_, delivery) = &of.factory {
            let shown = &block["exporters"][of.type_name];
            let defaults =
                serde_yaml::to_value(pipeline_service::delivery_config(&delivery())).unwrap();
            for (key, default) in defaults.as_mapping().unwrap() {
                assert_eq!(&shown[key], default, "{} {key:?}", of.type_name);
            }
        }
    }
}

/// What a YAML block is, by what stands behind its fence and by its keys.
enum Block {
    /// `yaml`: a whole configuration, which has a key `service`; or some sections of one, or a list of `labels`' actions,
    /// made a whole one.
    Ours(String),
    /// `yaml collector`: for an upstream Collector.
    Collectors,
    /// `yaml catalog`: a catalog of `metadata`.
    Catalog,
    /// A stranger's component, of which this binary knows nothing: its own tests hold it to its schema.
    Strangers,
}

/// Panics for what is none of these.
fn block(path: &Path, info: &str, block: &str) -> Option<Block> {
    if matches!(
        info,
        "text" | "sh" | "sh docker" | "yaml kubernetes" | "toml" | "rust,no_run"
    ) {
        return None;
    }
    let keys = serde_yaml::from_str::<Mapping>(block)
        .unwrap_or_else(|error| panic!("{}: {error}:\n{block}", path.display()));
    let only = |allowed: &[&str]| {
        let is_allowed = |key: &Value| key.as_str().is_some_and(|key| allowed.contains(&key));
        !keys.is_empty() && keys.keys().all(is_allowed)
    };
    let shape = match info {
        "yaml collector" => Block::Collectors,
        "yaml catalog" => Block::Catalog,
        "yaml" if path.starts_with("examples") => Block::Strangers,
        "yaml" if keys.contains_key("service") => Block::Ours(block.into()),
        "yaml" if only(&["receivers", "processors", "exporters", "extensions"]) => {
            Block::Ours(whole(block))
        }
        "yaml" if only(&["actions"]) => {
            let indented = block.lines().map(|line| format!("    {line}\n"));
            let indented: String = indented.collect();
            Block::Ours(whole(&format!("processors:\n  labels:\n{indented}")))
        }
        _ => panic!("{}: what is ```{info}?\n{block}", path.display()),
    };
    Some(shape)
}

/// Some sections of a configuration, with the others, and all their components in one pipeline.
fn whole(sections: &str) -> String {
    let mut whole = sections.to_owned();
    let given: Mapping = serde_yaml::from_str(sections).unwrap();
    for (section, other) in [
        ("receivers", "{statsfs: {root: /sys}}"),
        ("exporters", "{stdout: {}}"),
    ] {
        if !given.contains_key(section) {
            writeln!(whole, "{section}: {other}").unwrap();
        }
    }
    let all: Mapping = serde_yaml::from_str(&whole).unwrap();
    let lists = all.iter().map(|(section, components)| {
        let ids = components.as_mapping().unwrap().keys();
        let ids: Vec<_> = ids.map(|id| id.as_str().unwrap()).collect();
        format!("{}: [{}]", section.as_str().unwrap(), ids.join(", "))
    });
    // What is no part of a pipeline is of the service itself.
    let (of_service, lists): (Vec<_>, Vec<_>) =
        lists.partition(|list| list.starts_with("extensions:"));
    let pipeline = format!("pipelines: {{metrics: {{{}}}}}", lists.join(", "));
    let service = [of_service, vec![pipeline]].concat().join(", ");
    whole + &format!("service: {{{service}}}\n")
}

fn assert_valid(configuration: &str, document: &Path) {
    let output = run(configuration, &["validate"]);
    let stderr = text(&output.stderr);
    let is_valid = output.status.success() && stderr.is_empty();
    assert!(is_valid, "{}: {stderr}", document.display());
}

#[test]
fn the_site_has_every_document() {
    let summary = std::fs::read_to_string(repository("site/SUMMARY.md")).unwrap();
    for (path, _) in documents() {
        let is_page = !path.starts_with("examples") && !path.starts_with("site");
        let link = format!("({})", path.display());
        assert!(
            !is_page || summary.contains(&link),
            "site/SUMMARY.md lacks {link}"
        );
    }
}

#[test]
fn every_yaml_block_is_a_configuration_that_is_taken() {
    let otelcol = repository(".tools/otelcol");
    let (mut ours, mut collectors) = (0, 0);
    for (path, markdown) in documents() {
        let at = path.display();
        for (info, yaml) in blocks(&markdown) {
            match block(&path, &info, &yaml) {
                None => {}
                Some(Block::Ours(whole)) => {
                    assert_valid(&whole, &path);
                    ours += 1;
                }
                Some(Block::Catalog) => {
                    let catalog = tempfile::NamedTempFile::new().unwrap();
                    std::fs::write(catalog.path(), &yaml).unwrap();
                    let metadata = format!("{{catalogs: [{}]}}", catalog.path().display());
                    let processors = format!("processors: {{metadata: {metadata}}}\n");
                    assert_valid(&whole(&processors), &path);
                }
                Some(Block::Collectors) if otelcol.exists() => {
                    let config = tempfile::NamedTempFile::new().unwrap();
                    std::fs::write(config.path(), &yaml).unwrap();
                    let mut command = std::process::Command::new(&otelcol);
                    command.arg("validate").arg("--config").arg(config.path());
                    let output = command.output().unwrap();
                    assert!(output.status.success(), "{at}: {}", text(&output.stderr));
                    collectors += 1;
                }
                Some(Block::Collectors) => {
                    // It was parsed.
                    lacks(
                        "every_yaml_block_is_a_configuration_that_is_taken",
                        "the Collector, for its own (scripts/otelcol.sh)",
                    );
                    collectors += 1;
                }
                Some(Block::Strangers) => {
                    let test = repository(path.to_str().unwrap()).with_file_name("src/lib.rs");
                    let test = std::fs::read_to_string(test).unwrap();
                    let is_tested = test.contains("assert_contracts::<")
                        && test.contains("include_str!(\"../README.md\")");
                    assert!(is_tested && blocks(&markdown).len() == 1, "{at}");
                }
            }
        }
    }
    assert!(ours >= 8 && collectors >= 1, "{ours} {collectors}");
}

#[test]
#[should_panic(expected = "what is ```yaml?")]
fn a_block_of_no_known_shape_is_not_passed_over() {
    block(Path::new("README.md"), "yaml", "service_name: x\n");
}
