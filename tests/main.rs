//! The real binary, run as a user would run it: one module a subject.
//!
//! What needs a process of its own is a test binary of its own: `allocations` and `blocked`.

#![allow(clippy::unwrap_used)]

mod aggregate;
mod broken_connections;
mod budget;
mod chain;
mod cheap;
mod common;
mod configuration;
mod demand;
mod disturbances;
mod documentation;
mod edge_values;
mod faults;
mod gcp;
mod kvm;
mod message_limit;
mod motion;
mod pipelines;
mod prometheus;
mod running;
mod stuck;
mod trees;
mod troubleshooting;
mod unknown_keys;
mod upstream;
