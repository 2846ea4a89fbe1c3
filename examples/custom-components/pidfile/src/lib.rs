//! Has the id of the process in a file for as long as the program runs: an extension.

use std::path::PathBuf;

use pipeline::{Component, Context, Error, Extension, Host, Result, Right, Shutdown, async_trait, schemars, serde};

/// What the user writes.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields)]
#[schemars(crate = "pipeline::schemars")]
pub struct Config {
    /// The file.
    path: PathBuf,
}

/// Writes a file, and takes it away.
pub struct Pidfile(Config);

pipeline::register! { extension Pidfile }

impl Component for Pidfile {
    const TYPE: &'static str = "pidfile";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Pidfile> {
        let path = config.path.clone();
        context.needs(move || vec![Right::Write(path)]);
        Ok(Pidfile(config))
    }
}

#[async_trait]
impl Extension for Pidfile {
    /// The host has more to tell: what is counted, which pipelines there are, how their components fare.
    async fn start(&self, _: &Host) -> Result<()> {
        std::fs::write(&self.0.path, format!("{}\n", std::process::id())).map_err(Error::new)
    }

    async fn run(&self, end: Shutdown) -> Result<()> {
        end.wait().await;
        std::fs::remove_file(&self.0.path).map_err(Error::new)
    }
}

#[test]
fn it_keeps_the_contracts() {
    let path = std::env::temp_dir().join(format!("pidfile-{}", std::process::id()));
    let yaml = format!("path: '{}'", path.display());
    pipeline::testing::assert_contracts::<Pidfile>(include_str!("../README.md"), &yaml, "");
    assert!(!path.exists());
}
