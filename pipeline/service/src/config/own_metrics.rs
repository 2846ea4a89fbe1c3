//! `service.telemetry.metrics:`, with the Collector's keys, which are those of OpenTelemetry's
//! [declarative configuration](https://github.com/open-telemetry/opentelemetry-configuration), 0.3.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use pipeline::Secret;
use pipeline::config::Millis;
use pipeline::formats::prometheus::ResourceConstantLabels;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// `service.telemetry.metrics:`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    /// How much is told.
    pub(crate) level: MetricsLevel,
    /// To whom; nobody by default, and nothing listens.
    pub(crate) readers: Vec<MetricReader>,
}

/// How much is told of the program itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricsLevel {
    /// Nothing.
    None,
    /// What the Collector tells.
    Basic,
    /// All of each component.
    #[default]
    Normal,
    /// By subsystem, too.
    Detailed,
}

/// Who is told.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricReader {
    /// Who asks.
    Pull(PullReader),
    /// Another system, every so often.
    Periodic(PeriodicReader),
}

/// `pull:`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PullReader {
    /// How those are told who ask.
    pub(crate) exporter: PullExporter,
}

/// `pull.exporter:`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PullExporter {
    /// Prometheus scrapes.
    Prometheus(PrometheusReader),
}

/// `pull.exporter.prometheus:`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PrometheusReader {
    /// Where it listens: a name or an address.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// Whether no unit is added to names.
    pub(crate) without_units: bool,
    /// Whether no `_total` is added to the names of counters.
    pub(crate) without_type_suffix: bool,
    /// Whether series have no `otel_scope_name` and `otel_scope_version`.
    pub(crate) without_scope_info: bool,
    /// Which attributes of the resource each series has as labels.
    pub(crate) with_resource_constant_labels: ResourceConstantLabels,
}

impl Default for PrometheusReader {
    fn default() -> PrometheusReader {
        PrometheusReader {
            host: "localhost".into(),
            port: 8888,
            without_units: false,
            without_type_suffix: false,
            without_scope_info: false,
            with_resource_constant_labels: ResourceConstantLabels::default(),
        }
    }
}

/// `periodic:`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeriodicReader {
    /// The time between messages.
    #[serde(default = "interval")]
    pub(crate) interval: Millis,
    /// How the other system is told.
    pub(crate) exporter: PeriodicExporter,
}

fn interval() -> Millis {
    Millis(pipeline::config::Duration::from_secs(60))
}

/// `periodic.exporter:`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PeriodicExporter {
    /// By OTLP.
    Otlp(OtlpReader),
}

/// `periodic.exporter.otlp:`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OtlpReader {
    /// `grpc`.
    pub(crate) protocol: Protocol,
    /// `http://host:port`, `https://host:port` or `host:port`.
    pub(crate) endpoint: String,
    /// Whether there is no TLS where the endpoint has no scheme.
    #[serde(default)]
    pub(crate) insecure: bool,
    /// PEM file of the authorities to trust, instead of the system's.
    #[serde(default)]
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file of the client's certificate.
    #[serde(default)]
    pub(crate) client_certificate: Option<PathBuf>,
    /// PEM file of the client's private key.
    #[serde(default)]
    pub(crate) client_key: Option<PathBuf>,
    /// Sent with each message, as gRPC metadata: a map, or a list of `{name, value}`.
    #[serde(default)]
    pub(crate) headers: Headers,
    /// How messages are compressed: `gzip`, `zstd` or `none`.
    #[serde(default)]
    pub(crate) compression: Option<String>,
    /// How long one message may take.
    #[serde(default = "timeout")]
    pub(crate) timeout: Millis,
}

fn timeout() -> Millis {
    Millis(pipeline::config::Duration::from_secs(10))
}

/// What OTLP is spoken over.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// gRPC.
    Grpc,
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Protocol, D::Error> {
        match &*String::deserialize(from)? {
            "grpc" => Ok(Protocol::Grpc),
            other if other.starts_with("http/") => Err(serde::de::Error::custom(
                "OTLP over HTTP is not spoken here: write `protocol: grpc`, and the endpoint's port for it, 4317",
            )),
            other => Err(serde::de::Error::unknown_variant(other, &["grpc"])),
        }
    }
}

/// Headers by name.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Headers(BTreeMap<String, Secret>);

/// One of a list of headers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    value: Secret,
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Headers, D::Error> {
        from.deserialize_any(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, or a list of `{name, value}`")
    }

    fn visit_unit<E>(self) -> Result<Headers, E> {
        Ok(Headers::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            all.insert(name, value);
        }
        Ok(Headers(all))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Headers, A::Error> {
        let mut all = BTreeMap::new();
        while let Some(Header { name, value }) = list.next_element()? {
            all.insert(name, value);
        }
        Ok(Headers(all))
    }
}

impl JsonSchema for Headers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<BTreeMap<String, Secret>>();
        let list = generator.subschema_for::<Vec<Header>>();
        schemars::json_schema!({ "anyOf": [map, list] })
    }
}
