//! Maps OpenTelemetry resources to monitored resources
//! ([monitored resource types](https://cloud.google.com/monitoring/api/resources)), by the rules of Google's own exporter.

use googleapis_tonic_google_monitoring_v3::google::api::MonitoredResource;
use pipeline::Attributes;

/// A label, the attributes that its value comes from (the first one that is set), and the default.
type LabelRule = (&'static str, &'static [&'static str], &'static str);

/// Labels that say where a resource is. The API takes no empty one.
const PLACES: [&str; 3] = ["location", "zone", "region"];

const ZONE: &str = "cloud.availability_zone";
const REGION: &str = "cloud.region";

const LOCATION: LabelRule = ("location", &[ZONE, REGION], "");
const LOCATION_OR_GLOBAL: LabelRule = ("location", &[ZONE, REGION], "global");
const CLUSTER: LabelRule = ("cluster_name", &["k8s.cluster.name"], "");
const NAMESPACE: LabelRule = ("namespace_name", &["k8s.namespace.name"], "");
const POD: LabelRule = ("pod_name", &["k8s.pod.name"], "");
const HOST_ID: LabelRule = ("instance_id", &["host.id"], "");

/// A resource type, its labels, and those labels that distinguish one host from another.
type ResourceRule = (&'static str, &'static [LabelRule], &'static [&'static str]);

const GCE: ResourceRule = (
    "gce_instance",
    &[("zone", &[ZONE], ""), HOST_ID],
    &["instance_id"],
);
const APP_ENGINE: ResourceRule = (
    "gae_instance",
    &[
        LOCATION,
        ("module_id", &["faas.name"], ""),
        ("version_id", &["faas.version"], ""),
        ("instance_id", &["faas.instance"], ""),
    ],
    &["instance_id"],
);
const EC2: ResourceRule = (
    "aws_ec2_instance",
    &[
        HOST_ID,
        ("region", &[ZONE, REGION], ""),
        ("aws_account", &["cloud.account.id"], ""),
    ],
    &["instance_id"],
);
const BARE_METAL: ResourceRule = (
    "baremetalsolution.googleapis.com/Instance",
    &[("location", &[REGION], ""), HOST_ID],
    &["instance_id"],
);
const CONTAINER: ResourceRule = (
    "k8s_container",
    &[
        LOCATION,
        CLUSTER,
        NAMESPACE,
        POD,
        ("container_name", &["k8s.container.name"], ""),
    ],
    &["pod_name"],
);
const K8S_POD: ResourceRule = (
    "k8s_pod",
    &[LOCATION, CLUSTER, NAMESPACE, POD],
    &["pod_name"],
);
const NODE: ResourceRule = (
    "k8s_node",
    &[LOCATION, CLUSTER, ("node_name", &["k8s.node.name"], "")],
    &["node_name"],
);
const TASK: ResourceRule = (
    "generic_task",
    &[
        LOCATION_OR_GLOBAL,
        ("namespace", &["service.namespace"], ""),
        ("job", &["service.name", "faas.name"], ""),
        ("task_id", &["service.instance.id", "faas.instance"], ""),
    ],
    &["task_id"],
);
const GENERIC: ResourceRule = (
    "generic_node",
    &[
        LOCATION_OR_GLOBAL,
        ("namespace", &["service.namespace"], ""),
        ("node_id", &["host.id", "host.name"], ""),
    ],
    &["node_id"],
);

/// The monitored resource.
///
/// # Errors
/// A label that distinguishes hosts, or one that says where they are, would be empty: the label, and the attribute to set.
pub(crate) fn monitored_resource(resource: &Attributes) -> Result<MonitoredResource, String> {
    let text = |key: &str| {
        let value = resource.get(key).map(ToString::to_string)?;
        let is_name = key != "service.name" || !value.starts_with("unknown_service");
        Some(value).filter(|value| !value.is_empty() && is_name)
    };
    let has = |key: &str| text(key).is_some();
    let all = |keys: [&str; 2]| keys.iter().all(|key| has(key));
    let platform = text("cloud.platform").unwrap_or_default();
    let (name, labels, distinguishing) = match &*platform {
        "gcp_compute_engine" => GCE,
        "gcp_app_engine" => APP_ENGINE,
        "aws_ec2" => EC2,
        "gcp_bare_metal_solution" => BARE_METAL,
        _ if has("k8s.cluster.name") => {
            if has("k8s.container.name") {
                CONTAINER
            } else if has("k8s.pod.name") {
                K8S_POD
            } else {
                // Without a node it would be the whole cluster: all hosts would share one resource.
                NODE
            }
        }
        _ if all(["service.name", "service.instance.id"]) => TASK,
        _ if all(["faas.name", "faas.instance"]) => TASK,
        _ => GENERIC,
    };
    let mut monitored = MonitoredResource {
        r#type: name.into(),
        ..MonitoredResource::default()
    };
    for (label, from, or) in labels {
        let value = from.iter().find_map(|key| text(key));
        if value.is_none() && distinguishing.contains(label) {
            return Err(format!(
                "the monitored resource {name} would have no {label}, and all hosts of that kind would be one; set `{}` in `service.resource`",
                from[0]
            ));
        }
        if value.is_none() && or.is_empty() && PLACES.contains(label) {
            return Err(format!(
                "the monitored resource {name} would have no {label}, without which the API takes no point; set `{}` in `service.resource`",
                from[0]
            ));
        }
        let value = value.unwrap_or_else(|| (*or).to_owned());
        monitored
            .labels
            .insert((*label).into(), crate::map::names::label_value(value));
    }
    Ok(monitored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(pairs: &[(&str, &str)]) -> String {
        let resource = pairs.iter().map(|(key, value)| (*key, *value)).collect();
        match monitored_resource(&resource) {
            Ok(monitored) => {
                let labels: Vec<String> = monitored
                    .labels
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                format!("{}{{{}}}", monitored.r#type, labels.join(","))
            }
            Err(why) => why,
        }
    }

    #[test]
    fn every_row_of_the_table_holds() {
        let zone = ("cloud.availability_zone", "us-1-b");
        let region = ("cloud.region", "us-1");
        let cluster = ("k8s.cluster.name", "c");
        let (namespace, pod) = (("k8s.namespace.name", "n"), ("k8s.pod.name", "p"));
        let service = [("service.name", "s"), ("service.instance.id", "i")];
        let on = |platform| ("cloud.platform", platform);
        for (resource, expected) in [
            (
                vec![on("gcp_compute_engine"), zone, ("host.id", "7")],
                "gce_instance{instance_id=7,zone=us-1-b}",
            ),
            (
                vec![
                    on("gcp_app_engine"),
                    region,
                    ("faas.name", "f"),
                    ("faas.version", "v"),
                    ("faas.instance", "i"),
                ],
                "gae_instance{instance_id=i,location=us-1,module_id=f,version_id=v}",
            ),
            (
                vec![
                    on("aws_ec2"),
                    region,
                    ("host.id", "i-7"),
                    ("cloud.account.id", "12"),
                ],
                "aws_ec2_instance{aws_account=12,instance_id=i-7,region=us-1}",
            ),
            (
                vec![
                    on("gcp_bare_metal_solution"),
                    region,
                    zone,
                    ("host.id", "7"),
                ],
                "baremetalsolution.googleapis.com/Instance{instance_id=7,location=us-1}",
            ),
            (
                vec![
                    on("gcp_kubernetes_engine"),
                    zone,
                    cluster,
                    namespace,
                    pod,
                    ("k8s.container.name", "x"),
                ],
                "k8s_container{cluster_name=c,container_name=x,location=us-1-b,namespace_name=n,pod_name=p}",
            ),
            (
                vec![region, cluster, namespace, pod],
                "k8s_pod{cluster_name=c,location=us-1,namespace_name=n,pod_name=p}",
            ),
            (
                vec![zone, cluster, ("k8s.node.name", "n1")],
                "k8s_node{cluster_name=c,location=us-1-b,node_name=n1}",
            ),
            (
                [&service[..], &[("service.namespace", "ns"), zone]].concat(),
                "generic_task{job=s,location=us-1-b,namespace=ns,task_id=i}",
            ),
            (
                service.to_vec(),
                "generic_task{job=s,location=global,namespace=,task_id=i}",
            ),
            (
                vec![("faas.name", "f"), ("faas.instance", "i")],
                "generic_task{job=f,location=global,namespace=,task_id=i}",
            ),
            (
                vec![
                    ("service.name", "unknown_service:x"),
                    ("service.instance.id", "i"),
                    ("host.name", "h"),
                ],
                "generic_node{location=global,namespace=,node_id=h}",
            ),
            (
                vec![("host.id", "7"), ("host.name", "h")],
                "generic_node{location=global,namespace=,node_id=7}",
            ),
        ] {
            assert_eq!(describe(&resource), expected, "{resource:?}");
        }
    }

    #[test]
    fn an_empty_label_that_would_make_hosts_one_or_no_place_is_refused_with_the_attribute_to_set() {
        let cluster = ("k8s.cluster.name", "c");
        for (resource, label, attribute) in [
            (vec![], "node_id", "host.id"),
            (vec![("host.id", "")], "node_id", "host.id"),
            (
                vec![
                    ("cloud.platform", "gcp_compute_engine"),
                    ("cloud.availability_zone", "us-1-b"),
                ],
                "instance_id",
                "host.id",
            ),
            (
                vec![cluster, ("cloud.region", "us-1")],
                "node_name",
                "k8s.node.name",
            ),
            (
                vec![cluster, ("k8s.node.name", "n")],
                "location",
                "cloud.availability_zone",
            ),
            (
                vec![("cloud.platform", "gcp_compute_engine"), ("host.id", "7")],
                "zone",
                "cloud.availability_zone",
            ),
            (
                vec![
                    ("cloud.platform", "gcp_bare_metal_solution"),
                    ("host.id", "7"),
                ],
                "location",
                "cloud.region",
            ),
        ] {
            let why = describe(&resource);
            assert!(why.contains(&format!("no {label}")), "{why}");
            assert!(
                why.ends_with(&format!("set `{attribute}` in `service.resource`")),
                "{why}"
            );
        }
    }
}
