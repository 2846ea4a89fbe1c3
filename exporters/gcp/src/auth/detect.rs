//! Detects where this host runs, from Google's metadata server
//! ([predefined keys](https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys)).

use std::time::Duration;

use pipeline::Attributes;
use pipeline::telemetry::{Warnings, bounded};
use tokio::time::{sleep, timeout};

use crate::auth::http::HttpError;
use crate::auth::metadata_key::{
    CLUSTER, CLUSTER_LOCATION, HOST_NAME, INSTANCE, MetadataKey, PROJECT, ZONE,
};
use crate::auth::metadata_server::MetadataServer;
use crate::auth::sources::CredentialSources;

const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The project and the resource attributes that were detected.
#[derive(Debug, Default)]
pub(crate) struct DetectedResource {
    pub(crate) project: Option<String>,
    pub(crate) attributes: Attributes,
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

/// Queries the metadata server, if there is one, for at most `limit`.
pub(crate) async fn detect(
    sources: &CredentialSources,
    limit: Duration,
    warnings: &Warnings,
) -> DetectedResource {
    let mut detected = DetectedResource::default();
    if let Some(host) = sources.metadata_server() {
        let mut last_error = String::new();
        let query = query_metadata_server(&host, warnings, &mut last_error);
        if let Ok(answered) = timeout(limit, query).await {
            detected = answered;
        } else {
            warnings.warn(
                "the metadata server did not answer in time; the resource is what the configuration says",
                &format!("{host}, within {limit:?}: {last_error}"),
            );
        }
    }
    DetectedResource {
        project: sources.project.clone().or(detected.project),
        ..detected
    }
}

async fn query_metadata_server(
    host: &str,
    warnings: &Warnings,
    last_error: &mut String,
) -> DetectedResource {
    let server = match MetadataServer::new(host.to_owned()) {
        Ok(server) => server,
        Err(why) => {
            *last_error = why;
            // The time that is left passes, as with a server that is not there.
            return std::future::pending().await;
        }
    };
    let mut get = async |key: MetadataKey| loop {
        let unexpected = match server.get(key.path).await {
            Ok(text) if text.is_empty() => return None,
            Ok(text) if (key.is_match)(&text) => return Some(text),
            Ok(text) => format!("found {:?}", bounded(&text)),
            // It has no such key.
            Err(HttpError::Refused(..)) => return None,
            Err(HttpError::Unexpected(why)) => why,
            Err(HttpError::Unavailable(why)) => {
                *last_error = why;
                sleep(RETRY_PAUSE).await;
                continue;
            }
        };
        let (path, expected) = (key.path, key.expected);
        let detail = format!("{path} of {host}: expected {expected}; {unexpected}");
        warnings.warn("an answer of the metadata server is not used", &detail);
        return None;
    };
    let project = get(PROJECT).await;
    let zone = get(ZONE).await;
    let id = get(INSTANCE).await;
    let cluster = get(CLUSTER).await;
    let mut attributes = Attributes::default();
    attributes.set("cloud.provider", "gcp");
    // projects/123/zones/europe-west1-b
    let zone = zone.map(|zone| zone.rsplit('/').next().unwrap_or_default().to_owned());
    let region = zone
        .as_deref()
        .and_then(|zone| zone.rsplit_once('-'))
        .map(|(region, _)| region.to_owned());
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            attributes.set(key, value);
        }
    };
    set("cloud.account.id", project.clone());
    set("host.id", id);
    if cluster.is_some() {
        set("cloud.platform", Some("gcp_kubernetes_engine".into()));
        set("k8s.cluster.name", cluster);
        let node = get(HOST_NAME).await;
        set(
            "k8s.node.name",
            node.map(|name| name.split('.').next().unwrap_or_default().to_owned()),
        );
        // A regional cluster is located in its region, not in the node's zone.
        let place = get(CLUSTER_LOCATION).await;
        let is_zone = |place: &String| place.matches('-').count() == 2;
        match place.or(zone) {
            Some(place) if is_zone(&place) => set("cloud.availability_zone", Some(place)),
            place => set("cloud.region", place),
        }
    } else {
        set("cloud.platform", Some("gcp_compute_engine".into()));
        set("cloud.availability_zone", zone);
        set("cloud.region", region);
    }
    DetectedResource {
        project,
        attributes,
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
