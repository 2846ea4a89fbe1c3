//! A README that says what the configuration is: its first YAML block is held equal to the schema.

use serde_json::{Map, Value};

use super::node;
use crate::config::schema::{properties, resolve};
use crate::config::{ByteSize, DELIVERY_KEYS, Duration, OPTIONAL_KEY};
use crate::{Factory, Registration};

/// A component's README shows what its configuration is:
///
/// - its first YAML block has every option, in maps below too: at its default, or with an example where it has to be
///   given, or commented out (`# key:`) where there is none;
/// - that block is a configuration that the component takes;
/// - the text names every option, as code.
///
/// Defaults are those of the schema: a type in the configuration whose default is to be shown is `Serialize`.
pub fn assert_readme(of: &Registration, readme: &str) {
    let schema = (of.schema)().to_value();
    let Some(options) = properties(&schema, &schema).filter(|it| !it.is_empty()) else {
        return; // it has no options
    };
    for key in options.keys() {
        let named = readme.contains(&format!("`{key}`"));
        assert!(named, "README.md does not name the key `{key}`");
    }
    let block = blocks(readme)
        .into_iter()
        .find(|(info, _)| info.starts_with("yaml"));
    let (_, block) = block.expect("README.md shows all options in a YAML block");
    let section = format!("{}s", of.factory.kind());
    let read = |text: &str| {
        let whole: Value = serde_yaml::from_str(text)
            .unwrap_or_else(|error| panic!("README.md's first YAML block: {error}"));
        let mut shown = match whole.get(&section).and_then(|it| it.get(of.type_name)) {
            Some(Value::Object(shown)) => shown.clone(),
            _ => panic!(
                "README.md's first YAML block has no `{section}: {{{}: …}}`",
                of.type_name
            ),
        };
        // It may show what stands around it; this crate knows no defaults of that.
        let around: &[&str] = match of.factory {
            Factory::Receiver(_) => &[OPTIONAL_KEY],
            Factory::Processor(_) | Factory::Extension(_) => &[],
            Factory::Exporter(..) => &DELIVERY_KEYS,
        };
        shown.retain(|key, _| options.contains_key(key) || !around.contains(&key.as_str()));
        shown
    };
    let shown = read(&block);
    compare(
        &schema,
        &schema,
        None,
        Some(&shown),
        &read(&uncommented(&block)),
        "",
    );
    assert_taken(of, shown);
}

/// The code blocks of a markdown text: what stands behind the fence, and the block.
#[must_use]
pub fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            let block: Vec<_> = block.chain([""]).collect();
            blocks.push((info.trim().into(), block.join("\n")));
        }
    }
    blocks
}

/// The block with its `# key:` lines as if they were none of comments; prose stays.
fn uncommented(block: &str) -> String {
    let line = |line: &str| match line.split_once("# ") {
        Some((indent, rest)) if indent.trim().is_empty() && is_entry(rest) => {
            format!("{indent}{rest}\n")
        }
        _ => format!("{line}\n"),
    };
    block.lines().map(line).collect()
}

fn is_entry(text: &str) -> bool {
    let is_key = |key: &str| {
        !key.is_empty()
            && key
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
    };
    text.split_once(':')
        .is_some_and(|(key, rest)| is_key(key) && (rest.is_empty() || rest.starts_with(' ')))
}

/// Holds a map as shown equal to the schema; `shown` is `None` for one that is commented out itself. `all` has what is
/// commented out too; `default` is the map's own default, where it has one.
fn compare(
    root: &Value,
    schema: &Value,
    default: Option<&Value>,
    shown: Option<&Map<String, Value>>,
    all: &Map<String, Value>,
    path: &str,
) {
    let Some(options) = properties(root, schema) else {
        return;
    };
    for key in all.keys() {
        let is_known = options.contains_key(key);
        assert!(
            is_known,
            "README.md shows `{path}{key}`, which is no option"
        );
    }
    let required = resolve(root, schema)["required"].as_array();
    for (key, option) in options {
        let at = format!("{path}{key}");
        let written = all
            .get(key)
            .unwrap_or_else(|| panic!("README.md's first YAML block lacks `{at}`"));
        let is_shown = shown.is_none_or(|it| it.contains_key(key));
        let own = default.map_or_else(|| option.get("default"), |default| default.get(key));
        let below = |of: Option<&Value>, shown: Option<&Value>| {
            if let Value::Object(all) = written {
                let shown = shown.and_then(Value::as_object);
                compare(root, option, of, shown, all, &format!("{at}."));
            }
        };
        match own.filter(|own| !own.is_null()) {
            Some(own) => {
                assert!(
                    is_shown,
                    "README.md has to show `{at}` at its default, {own}"
                );
                if own.is_object() && properties(root, option).is_some() {
                    below(Some(own), shown.map(|it| &it[key]));
                } else {
                    assert!(
                        is_same(own, written),
                        "README.md shows `{at}: {written}`; its default is {own}"
                    );
                }
            }
            None if required.is_some_and(|it| it.iter().any(|it| it == key)) => {
                assert!(is_shown, "README.md has to show an example of `{at}`");
            }
            None => {
                assert!(
                    shown.is_none() || !is_shown,
                    "README.md shows `{at}`, which has no default: `# {key}:`"
                );
                below(None, None);
            }
        }
    }
}

/// Whether two values mean the same: `5m` is `300s`, `4KiB` is 4096.
fn is_same(a: &Value, b: &Value) -> bool {
    fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
        serde_json::from_value(value.clone()).ok()
    }
    let (durations, sizes) = ([a, b].map(read::<Duration>), [a, b].map(read::<ByteSize>));
    a == b
        || durations[0].is_some() && durations[0] == durations[1]
        || sizes[0].is_some() && sizes[0] == sizes[1]
}

/// The component takes what its README shows.
fn assert_taken(of: &Registration, shown: Map<String, Value>) {
    let shown = node(&Value::Object(shown).to_string());
    let refused = of.factory.refused(&shown);
    assert!(
        refused.is_none(),
        "README.md's first YAML block is refused: {refused:#?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Component, Context, Head, PerSeries, Series, Verdict};

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Config {
        given: String,
        #[serde(default = "five_minutes")]
        often: Duration,
        none: Option<u64>,
        #[serde(default)]
        below: Below,
        perhaps: Option<Below>,
    }

    #[derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Below {
        size: ByteSize,
        path: Option<String>,
    }

    impl Default for Below {
        fn default() -> Below {
            let (size, path) = (ByteSize(4096), None);
            Below { size, path }
        }
    }

    fn five_minutes() -> Duration {
        Duration::from_secs(300)
    }

    struct ShownComponent;

    impl Component for ShownComponent {
        const TYPE: &'static str = "shown";
        type Config = Config;

        fn build(_: Config, _: &Context) -> crate::Result<ShownComponent> {
            Ok(ShownComponent)
        }
    }

    impl PerSeries for ShownComponent {
        fn rewrite(&self, _: &Head, _: &mut Series) -> Verdict {
            Verdict::Keep
        }
    }

    const README: &str = "`given` `often` `none` `below` `perhaps`\n```yaml\nprocessors:\n  shown:\n    given: x\n    # An example:\n    often: 5m\n    # none:\n    \
        below:\n      size: 4KiB\n      # path:\n    # perhaps:\n```\n";

    #[test]
    fn a_readme_is_held_equal_to_the_schema() {
        let of = Registration::per_series::<ShownComponent>("a", "0", "a.rs");
        assert_readme(&of, README);
        for (right, wrong) in [
            ("`none`", "none"),
            ("given: x", "# given:"),
            ("often: 5m", "often: 6m"),
            ("often: 5m", "# often: 5m"),
            ("# none:", "none: 1"),
            ("# none:", "# other:"),
            ("    # none:\n", ""),
            ("size: 4KiB", "size: 4KB"),
            ("# path:", "path: x"),
            ("      # path:\n", ""),
            ("      # path:\n", "      # path:\n      more: 1\n"),
            ("# perhaps:", "# perhaps: {size: 5KiB, path: x}"),
            ("# perhaps:", "# perhaps: {size: 4KiB}"),
            ("shown:", "hidden:"),
        ] {
            let changed = README.replacen(right, wrong, 1);
            assert_ne!(changed, README, "{right}");
            let passes = std::panic::catch_unwind(|| assert_readme(&of, &changed)).is_ok();
            assert!(!passes, "{wrong} instead of {right} passes");
        }
    }
}
