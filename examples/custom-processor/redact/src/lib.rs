//! Replaces the values of some labels.

use std::sync::Arc;

use pipeline::{Component, Context, Head, PerSeries, Result, Series, Verdict, schemars, serde};

/// What the user writes.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields)]
#[schemars(crate = "pipeline::schemars")]
pub struct Config {
    /// Keys of the labels.
    labels: Vec<String>,
    /// What their values become.
    #[serde(default = "stars")]
    with: String,
}

fn stars() -> String {
    "***".into()
}

/// Replaces the values of some labels.
pub struct Redact(Config);

pipeline::register! { per_series Redact }

impl Component for Redact {
    const TYPE: &'static str = "redact";
    type Config = Config;

    fn build(config: Config, _: &Context) -> Result<Redact> {
        Ok(Redact(config))
    }
}

impl PerSeries for Redact {
    fn rewrite(&self, _: &Head, series: &mut Series) -> Verdict {
        for key in self.0.labels.iter().filter(|key| series.attributes.get(key).is_some()).cloned().collect::<Vec<_>>() {
            Arc::make_mut(&mut series.attributes).set(key, self.0.with.as_str());
        }
        Verdict::Keep
    }
}

#[test]
fn it_redacts_and_keeps_the_contracts() {
    let (yaml, input) = ("labels: [serial]", "disk/reads{disk=a,serial=123} 1 counter\ndisk/writes{disk=a} 2");
    pipeline::testing::check::<Redact>(yaml, input, "disk/reads{disk=a,serial=***} 1 counter\ndisk/writes{disk=a} 2");
    pipeline::testing::assert_contracts::<Redact>(include_str!("../README.md"), yaml, input);
}
