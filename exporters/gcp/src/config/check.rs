//! What is a mistake in a configuration, whatever its types are.

use std::time::Duration;

use pipeline::{Error, Result};

use super::{Config, MetricConfig};
use crate::map::names::domain_of;

impl Config {
    /// Checks what can be known without looking at the host.
    pub(crate) fn check(&self) -> Result<()> {
        if self.project.as_deref().is_some_and(str::is_empty) {
            return Err(Error::at(
                "project",
                "a project's id is not empty; without the key it is found out",
            ));
        }
        self.metric.check()
    }
}

impl MetricConfig {
    fn check(&self) -> Result<()> {
        if domain_of(&self.prefix).is_none() {
            let prefix = &self.prefix;
            let why = format!(
                "`{prefix}` does not begin with a domain, and the API takes no metric without one; such as `custom.googleapis.com/mine`"
            );
            return Err(Error::at("metric.prefix", why));
        }
        if self.min_interval.0 < Duration::from_millis(1) {
            return Err(Error::at(
                "metric.min_interval",
                "points of a series are at least 1ms apart",
            ));
        }
        let has_tls = [
            ("metric.ca_file", self.ca_file.is_some()),
            (
                "metric.server_name_override",
                self.server_name_override.is_some(),
            ),
        ];
        if self.use_insecure {
            if self.endpoint.is_none() {
                return Err(Error::at(
                    "metric.use_insecure",
                    "`use_insecure` needs an `endpoint` of your own: Google's is TLS only",
                ));
            }
            if let Some((key, _)) = has_tls.iter().find(|(_, is_set)| *is_set) {
                return Err(Error::at(*key, "with `use_insecure` there is no TLS"));
            }
        }
        if self.endpoint.is_none()
            && let Some((key, _)) = has_tls.iter().find(|(_, is_set)| *is_set)
        {
            return Err(Error::at(*key, "it is for an `endpoint` of your own"));
        }
        Ok(())
    }
}
