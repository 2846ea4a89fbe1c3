//! Where this host is: what Google's metadata server says of it
//! ([predefined keys](https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys)).

use std::time::Duration;

use pipeline::Attributes;
use tokio::time::{sleep, timeout};

use crate::auth::places::Places;

/// How long one answer may take: the server is on the host itself.
const ANSWER: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) project: Option<String>,
    pub(crate) attributes: Attributes,
}

impl Found {
    /// A resource, and what was found over it. A resource that says itself on which platform it is stays as it is.
    pub(crate) fn over(&self, resource: &Attributes) -> Attributes {
        let mut all = resource.clone();
        if all.get("cloud.platform").is_some() {
            return all;
        }
        for (key, value) in self.attributes.iter() {
            // The instance's id, instead of what the operating system has.
            if &**key == "host.id" || all.get(key).is_none() {
                all.set(key.clone(), value.clone());
            }
        }
        all
    }
}

/// Asks the metadata server, where there is one, for as long as it is allowed to.
pub(crate) async fn detect(places: &Places, limit: Duration) -> Found {
    let Some(host) = places.metadata_server() else {
        return Found {
            project: places.project.clone(),
            attributes: Attributes::default(),
        };
    };
    let found = timeout(limit, ask(&host)).await.unwrap_or_else(|_| {
        tracing::warn!("the metadata server at {host} did not answer within {limit:?}; the resource is what the configuration says");
        Found::default()
    });
    Found {
        project: places.project.clone().or(found.project),
        ..found
    }
}

async fn ask(host: &str) -> Found {
    // No proxy is asked for what is on the host itself.
    let Ok(client) = reqwest::Client::builder()
        .no_proxy()
        .timeout(ANSWER)
        .build()
    else {
        return Found::default();
    };
    let read = async |key: &str| loop {
        let url = format!("http://{host}/computeMetadata/v1/{key}");
        let asked = client.get(url).header("metadata-flavor", "Google");
        match asked.send().await {
            Ok(answer) if answer.status().is_success() => {
                let text = answer.text().await.unwrap_or_default();
                return Some(text.trim().to_owned()).filter(|text| !text.is_empty());
            }
            // It is there, and has no such key.
            Ok(answer) if answer.status().is_client_error() => return None,
            Ok(_) | Err(_) => sleep(PAUSE).await,
        }
    };
    let project = read("project/project-id").await;
    let zone = read("instance/zone").await;
    let id = read("instance/id").await;
    let cluster = read("instance/attributes/cluster-name").await;
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
        let node = read("instance/hostname").await;
        set(
            "k8s.node.name",
            node.map(|name| name.split('.').next().unwrap_or_default().to_owned()),
        );
        // A cluster of a region has the region as its place, not the node's zone.
        let place = read("instance/attributes/cluster-location").await;
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
    Found {
        project,
        attributes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_says_holds_but_for_the_instances_id() {
        let found = Found {
            project: None,
            attributes: Attributes::from_iter([
                ("cloud.platform", "gcp_compute_engine"),
                ("host.id", "42"),
                ("cloud.region", "r"),
            ]),
        };
        let configured =
            Attributes::from_iter([("host.id", "machine-id"), ("cloud.region", "mine")]);
        let over = found.over(&configured);
        let text = |key| {
            over.get(key)
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
        let told = Attributes::from_iter([("cloud.platform", "aws_ec2"), ("host.id", "i-1")]);
        assert_eq!(found.over(&told), told);
    }
}
