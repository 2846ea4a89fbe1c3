//! Detects where this host runs, from Google's metadata server
//! ([predefined keys](https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys)).

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pipeline::Attributes;
use pipeline::telemetry::{Warnings, bounded};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::auth::http::HttpError;
use crate::auth::metadata_key::{
    CLUSTER, CLUSTER_LOCATION, HOST_NAME, INSTANCE, MetadataKey, PROJECT, ZONE,
};
use crate::auth::metadata_server::MetadataServer;
use crate::send::backoff::{Attempts, Pauses};

/// How long one request may take. The server runs on the host itself.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The pauses before the server is asked again.
const PAUSES: Pauses = Pauses {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(10),
};

/// The project and the resource attributes that were detected: all of them, or none.
#[derive(Debug, Default)]
pub(crate) struct DetectedResource {
    pub(crate) project: Option<String>,
    pub(crate) attributes: Attributes,
}

/// The detection, which goes on in the background until it has succeeded.
#[derive(Debug)]
pub(crate) struct Detection {
    /// `None` until it has succeeded, or points have waited long enough for it.
    latest: watch::Sender<Option<Arc<DetectedResource>>>,
    task: OnceLock<JoinSet<()>>,
}

impl Detection {
    pub(crate) fn new() -> Detection {
        Detection {
            latest: watch::Sender::new(None),
            task: OnceLock::new(),
        }
    }

    /// What is known now. Asks `host`, the metadata server, if there is one; waits for it for `limit` at the most.
    pub(crate) async fn latest(
        &self,
        host: impl FnOnce() -> Option<String>,
        limit: Duration,
        warnings: &Warnings,
    ) -> Arc<DetectedResource> {
        self.task.get_or_init(|| {
            let (host, warnings, latest) = (host(), warnings.clone(), self.latest.clone());
            let mut task = JoinSet::new();
            task.spawn(async move { detect(host, limit, &warnings, &latest).await });
            task
        });
        let mut latest = self.latest.subscribe();
        let known = latest.wait_for(Option::is_some).await;
        // The sender belongs to this detection and outlives this future.
        known.ok().and_then(|it| it.clone()).unwrap_or_default()
    }
}

impl DetectedResource {
    /// The resource with the detected attributes added. A resource that has a `cloud.platform` is not changed.
    pub(crate) fn merged_with(&self, resource: &Attributes) -> Attributes {
        let mut merged = resource.clone();
        if merged.get("cloud.platform").is_some() {
            return merged;
        }
        for (key, value) in self.attributes.iter() {
            // The instance's id replaces the operating system's host id.
            if &**key == "host.id" || merged.get(key).is_none() {
                merged.set(key.clone(), value.clone());
            }
        }
        merged
    }
}

/// Asks the metadata server until it has answered. After `limit` nothing is known for the time being.
async fn detect(
    host: Option<String>,
    limit: Duration,
    warnings: &Warnings,
    latest: &watch::Sender<Option<Arc<DetectedResource>>>,
) {
    let server = host.map(|host| MetadataServer::new(host, REQUEST_TIMEOUT));
    if let Some(Err(why)) = &server {
        warnings.warn("the metadata server cannot be asked", why);
    }
    let server = server.and_then(Result::ok);
    let Some(server) = server else {
        latest.send_replace(Some(Arc::default()));
        return;
    };
    let query = MetadataQuery {
        server: &server,
        warnings,
        last_error: Mutex::default(),
    };
    let asking = query.resource();
    tokio::pin!(asking);
    let detected = if let Ok(detected) = timeout(limit, &mut asking).await {
        detected
    } else {
        let why = query.last_error().clone();
        warnings.warn(
            "the metadata server did not answer in time; the resource is what the configuration says, until it does",
            &format!("{}, within {limit:?}: {why}", server.host),
        );
        latest.send_replace(Some(Arc::default()));
        let detected = asking.await;
        warnings.warn(
            "the metadata server has answered after all; the resource changes",
            &format!("{}: {:?}", server.host, detected.attributes),
        );
        detected
    };
    latest.send_replace(Some(Arc::new(detected)));
}

/// What is asked of a metadata server.
struct MetadataQuery<'a> {
    server: &'a MetadataServer,
    warnings: &'a Warnings,
    last_error: Mutex<String>,
}

impl MetadataQuery<'_> {
    fn last_error(&self) -> MutexGuard<'_, String> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a key that each machine has. Asks until it is there: nothing stands in its place.
    async fn required(&self, key: &MetadataKey) -> String {
        let mut attempts = Attempts::new();
        loop {
            match self.get(key).await {
                Ok(Some(text)) => return text,
                Ok(None) => *self.last_error() = format!("there is no {}", key.path),
                Err(why) => *self.last_error() = why,
            }
            attempts.failed(PAUSES);
            sleep_until(attempts.due()).await;
        }
    }

    /// The value of a key that not each machine has. Asks until it is clear.
    async fn optional(&self, key: &MetadataKey) -> Option<String> {
        let mut attempts = Attempts::new();
        loop {
            match self.get(key).await {
                Ok(value) => return value,
                Err(why) => *self.last_error() = why,
            }
            attempts.failed(PAUSES);
            sleep_until(attempts.due()).await;
        }
    }

    /// The value, if the server has it. Fails where it has to be asked again.
    async fn get(&self, key: &MetadataKey) -> Result<Option<String>, String> {
        let unexpected = match self.server.get(key.path).await {
            Ok(text) if text.is_empty() => return Ok(None),
            Ok(text) if (key.is_match)(&text) => return Ok(Some(text)),
            Ok(text) => format!("found {:?}", bounded(&text)),
            Err(HttpError::Refused(..)) => return Ok(None),
            Err(HttpError::Unexpected(why)) => why,
            Err(HttpError::Unavailable(why)) => return Err(why),
        };
        let (path, expected, host) = (key.path, key.expected, &self.server.host);
        let detail = format!("{path} of {host}: expected {expected}; {unexpected}");
        let message = "an answer of the metadata server is not used";
        self.warnings.warn(message, &detail);
        Err(unexpected)
    }

    async fn resource(&self) -> DetectedResource {
        let project = self.required(&PROJECT).await;
        // projects/123/zones/europe-west1-b
        let zone = self.required(&ZONE).await;
        let zone = zone.rsplit('/').next().unwrap_or_default();
        let cluster = self.optional(&CLUSTER).await;
        let mut attributes = Attributes::default();
        attributes.set("cloud.provider", "gcp");
        attributes.set("cloud.account.id", project.clone());
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                attributes.set(key, value);
            }
        };
        if cluster.is_some() {
            set("cloud.platform", Some("gcp_kubernetes_engine".into()));
            set("k8s.cluster.name", cluster);
            set("host.id", self.optional(&INSTANCE).await);
            let node = self.optional(&HOST_NAME).await;
            let first = |name: String| name.split('.').next().unwrap_or_default().to_owned();
            set("k8s.node.name", node.map(first));
            // A regional cluster is located in its region, not in the node's zone.
            let place = self.optional(&CLUSTER_LOCATION).await;
            let place = place.unwrap_or_else(|| zone.to_owned());
            let is_zone = place.matches('-').count() == 2;
            let key = if is_zone {
                "cloud.availability_zone"
            } else {
                "cloud.region"
            };
            set(key, Some(place));
        } else {
            set("cloud.platform", Some("gcp_compute_engine".into()));
            set("host.id", Some(self.required(&INSTANCE).await));
            set("cloud.availability_zone", Some(zone.to_owned()));
            let region = zone.rsplit_once('-').map(|(region, _)| region.to_owned());
            set("cloud.region", region);
        }
        DetectedResource {
            project: Some(project),
            attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_says_holds_but_for_the_instances_id() {
        let detected = DetectedResource {
            project: None,
            attributes: Attributes::from_iter([
                ("cloud.platform", "gcp_compute_engine"),
                ("host.id", "42"),
                ("cloud.region", "r"),
            ]),
        };
        let configured =
            Attributes::from_iter([("host.id", "machine-id"), ("cloud.region", "mine")]);
        let merged = detected.merged_with(&configured);
        let text = |key| {
            merged
                .get(key)
                .and_then(|it| it.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        assert_eq!(
            (
                text("host.id"),
                text("cloud.region"),
                text("cloud.platform")
            ),
            ("42".into(), "mine".into(), "gcp_compute_engine".into())
        );
        let configured_platform =
            Attributes::from_iter([("cloud.platform", "aws_ec2"), ("host.id", "i-1")]);
        assert_eq!(
            detected.merged_with(&configured_platform),
            configured_platform
        );
    }
}
