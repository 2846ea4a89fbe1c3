//! What is asked of the metadata server, and what an answer has to look like: it becomes labels of each series, and the
//! project that is written to.

/// A key, and the values that it may have.
#[derive(Debug)]
pub(crate) struct MetadataKey {
    pub(crate) path: &'static str,
    /// What a value is, in words.
    pub(crate) expected: &'static str,
    pub(crate) is_match: fn(&str) -> bool,
}

pub(crate) const PROJECT: MetadataKey = MetadataKey {
    path: "project/project-id",
    expected: "a project's id, such as `my-project-1`",
    is_match: is_project,
};

pub(crate) const ZONE: MetadataKey = MetadataKey {
    path: "instance/zone",
    expected: "a zone, such as `projects/123/zones/europe-west1-b`",
    is_match: is_zone_path,
};

pub(crate) const INSTANCE: MetadataKey = MetadataKey {
    path: "instance/id",
    expected: "an instance's id, a number",
    is_match: is_number,
};

pub(crate) const HOST_NAME: MetadataKey = MetadataKey {
    path: "instance/hostname",
    expected: "a host's name",
    is_match: is_host_name,
};

pub(crate) const CLUSTER: MetadataKey = MetadataKey {
    path: "instance/attributes/cluster-name",
    expected: "a cluster's name, such as `my-cluster`",
    is_match: is_name,
};

pub(crate) const CLUSTER_LOCATION: MetadataKey = MetadataKey {
    path: "instance/attributes/cluster-location",
    expected: "a zone or a region, such as `europe-west1`",
    is_match: is_name,
};

/// [Project ids](https://cloud.google.com/resource-manager/docs/creating-managing-projects): 6 to 30 of lower-case letters,
/// digits and hyphens; old ones have a domain before a colon.
fn is_project(text: &str) -> bool {
    let (domain, id) = text.split_once(':').unwrap_or(("example.com", text));
    is_host_name(domain) && (6..=30).contains(&id.len()) && is_name(id)
}

fn is_zone_path(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(5, '/').collect();
    matches!(parts[..], ["projects", number, "zones", zone] if is_number(number) && is_name(zone))
}

/// A number of 64 bits.
fn is_number(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit()) && text.parse::<u64>().is_ok()
}

/// A resource's name ([RFC 1035](https://cloud.google.com/compute/docs/naming-resources)).
fn is_name(text: &str) -> bool {
    is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_host_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// One part of a host's name.
fn is_label(text: &str) -> bool {
    let is_known = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(is_known)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_to_look_like_what_it_is() {
        let long = "a".repeat(64);
        for (key, good, bad) in [
            (
                PROJECT,
                &["my-project-1", "example.com:my-project"][..],
                &[
                    "",
                    "short",
                    "1-project",
                    "My-project",
                    "my-project-",
                    "a/b/../c-project",
                    "evil name",
                    "<html></html>",
                    "x:y:my-project",
                    ":my-project",
                    "my-projéct",
                    &long,
                ][..],
            ),
            (
                ZONE,
                &[
                    "projects/123/zones/us-central1-a",
                    "projects/1/zones/us-central1-ai1a",
                ],
                &[
                    "us-central1-a",
                    "projects/p/zones/us-central1-a",
                    "projects/1/zones/",
                    "projects/1/zones/a/b",
                    "projects/1/zones/a\nb",
                ],
            ),
            (
                INSTANCE,
                &["4242", "18446744073709551615"],
                &["", "-1", "+1", "18446744073709551616", "i-42", "4 2"],
            ),
            (
                HOST_NAME,
                &["node-7.c.p-1.internal", "gke-a-1"],
                &["", "a..b", "a_b", "a b", &long],
            ),
            (CLUSTER, &["c", "my-cluster-1"], &["", "1c", "c d", &long]),
            (
                CLUSTER_LOCATION,
                &["europe-west1", "europe-west1-b"],
                &["", "europe/west1"],
            ),
        ] {
            for text in good {
                assert!((key.is_match)(text), "{} {text}", key.path);
            }
            for text in bad {
                assert!(!(key.is_match)(text), "{} {text}", key.path);
            }
        }
    }
}
