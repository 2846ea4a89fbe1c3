//! What the user writes: keys of the Collector's `file_storage`
//! ([file_storage](https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/extension/storage/filestorage)),
//! and what is ours.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use pipeline::config::{ByteSize, Duration};
use pipeline::{Error, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize};

/// The configuration of a `file_storage` extension.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the queues are, one folder for each exporter. No other program may use it.
    pub directory: PathBuf,
    /// Whether the directory is made where it is not there.
    pub create_directory: bool,
    /// The permissions of the directory if it is made, in octal.
    pub directory_permissions: String,
    /// What the files of an exporter may take; the oldest give way to what is new.
    pub max_size: ByteSize,
    /// What is older gives way; 0: however old it is.
    pub max_age: Duration,
    /// When what was written is forced out of the kernel's memory onto the disk itself.
    pub fsync: Fsync,
    /// In which order what waits is sent.
    pub replay: Replay,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            directory: "/var/lib/statsfs-collector/queue".into(),
            create_directory: true,
            directory_permissions: "0700".into(),
            max_size: ByteSize(1 << 30),
            max_age: Duration::default(),
            fsync: Fsync::Interval,
            replay: Replay::Oldest,
        }
    }
}

/// Below this there would be no room for a table and what it showed.
const MIN_SIZE: u64 = 64 << 10;

impl Config {
    /// The permissions, if they can be some.
    pub(crate) fn permissions(&self) -> Result<u32> {
        let text = &self.directory_permissions;
        let mode = u32::from_str_radix(text, 8).ok();
        let mode = mode.filter(|it| *it <= 0o777 && it & 0o700 == 0o700);
        let error = || {
            let text = format!(
                "`{text}` are no permissions of a directory that its owner may use, as `\"0700\"` are"
            );
            Error::at("directory_permissions", text)
        };
        mode.ok_or_else(error)
    }

    /// The size, if there is room for anything.
    pub(crate) fn size(&self) -> Result<u64> {
        if self.max_size.0 < MIN_SIZE {
            return Err(Error::at("max_size", "it may not be below `64KiB`"));
        }
        Ok(self.max_size.0)
    }
}

/// When what was written is forced onto the disk itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// Before a request counts as queued; those that come together share it.
    Each,
    /// Once a second.
    Interval,
    /// When the kernel likes to.
    Never,
}

impl<'de> Deserialize<'de> for Fsync {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fsync, D::Error> {
        struct FsyncVisitor;
        impl Visitor<'_> for FsyncVisitor {
            type Value = Fsync;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`each`, `interval` or `never`")
            }

            /// The Collector's.
            fn visit_bool<E>(self, each: bool) -> Result<Fsync, E> {
                Ok(if each { Fsync::Each } else { Fsync::Never })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Fsync, E> {
                match text {
                    "each" => Ok(Fsync::Each),
                    "interval" => Ok(Fsync::Interval),
                    "never" => Ok(Fsync::Never),
                    other => {
                        let text = format!("`{other}` is none of `each`, `interval` and `never`");
                        Err(E::custom(text))
                    }
                }
            }
        }
        from.deserialize_any(FsyncVisitor).map_err(D::Error::custom)
    }
}

impl JsonSchema for Fsync {
    fn schema_name() -> Cow<'static, str> {
        "Fsync".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["each", "interval", "never", true, false] })
    }
}

/// In which order what waits is sent.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Replay {
    /// The oldest first: what is new waits behind it, so that a series stays in order.
    Oldest,
    /// What is new first, and what waits after it: out of order.
    Newest,
}

impl From<Replay> for pipeline::Replay {
    fn from(replay: Replay) -> pipeline::Replay {
        match replay {
            Replay::Oldest => pipeline::Replay::Oldest,
            Replay::Newest => pipeline::Replay::Newest,
        }
    }
}
