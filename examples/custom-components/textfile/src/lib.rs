//! Appends each request to a file, a line a point: an exporter.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use pipeline::{Batch, Component, Context, Delivery, ExportError, Exporter, Result, Right, async_trait, schemars, serde, formats::text};

/// What the user writes.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields)]
#[schemars(crate = "pipeline::schemars")]
pub struct Config {
    /// The file.
    path: PathBuf,
}

/// Appends to a file.
pub struct Textfile(Config);

pipeline::register! { exporter Textfile }

impl Component for Textfile {
    const TYPE: &'static str = "textfile";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Textfile> {
        let path = config.path.clone();
        context.needs(move || vec![Right::Write(path)]);
        Ok(Textfile(config))
    }
}

#[async_trait]
impl Exporter for Textfile {
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        let file = File::options().create(true).append(true).open(&self.0.path);
        let written = file.and_then(|mut file| file.write_all(text::format(request).as_bytes()));
        // A full disk may have room again.
        written.map_err(ExportError::retryable)
    }

    /// One at a time: lines of two requests are not mixed.
    fn delivery() -> Delivery {
        let mut delivery = Delivery::default();
        delivery.num_consumers = 1;
        delivery
    }
}

#[test]
fn it_keeps_the_contracts() {
    pipeline::testing::assert_contracts::<Textfile>(include_str!("../README.md"), "path: /dev/null", "");
}
