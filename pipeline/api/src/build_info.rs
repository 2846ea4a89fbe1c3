//! What a distribution calls itself.

/// What a distribution calls itself: in its command line, to peers, and in the resource that it sends. A distribution of
/// one's own changes what differs: `BuildInfo { name: "my-collector", ..statsfs_collector::BUILD_INFO }`.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// The program's name, as it is called: `statsfs-collector`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// The YAML that it runs without `--config`.
    pub default_config: &'static str,
}

impl BuildInfo {
    /// As peers know it: `statsfs-collector/0.2.0 (linux/x86_64)`.
    #[must_use]
    pub fn user_agent(&self) -> String {
        let BuildInfo { name, version, .. } = self;
        format!("{name}/{version} (linux/{})", std::env::consts::ARCH)
    }
}

impl Default for BuildInfo {
    /// A nameless one, for tests.
    fn default() -> BuildInfo {
        BuildInfo {
            name: "collector",
            version: "0.0.0",
            description: "",
            default_config: "",
        }
    }
}
