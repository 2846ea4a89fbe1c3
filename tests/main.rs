//! The real binary, run as a user would run it: one module a subject.
//!
//! What needs a process of its own is a test binary of its own: `allocations`, `blocked`, `canary`,
//! `forgotten_tables` and `stranger`.

#![allow(clippy::unwrap_used)]

mod aggregate;
mod alerts;
mod at_rest;
mod broken_connections;
mod budget;
mod catalog;
mod command_line;
mod common;
mod compression;
mod configuration;
mod containers;
mod dashboards;
mod delivery;
mod demand;
mod documentation;
mod edge_values;
mod failed_files;
mod fanout;
mod faults;
mod fixture_trees;
mod gcp;
mod health;
mod host_changes;
mod hostile_tree;
mod hostile_upstream;
mod hotplug;
mod initial_delay;
mod inspect;
mod join;
mod kubernetes;
mod kvm;
mod kvm_statistics;
mod lifecycle;
mod limits;
mod links;
mod logs;
mod memory_limit;
mod message_limit;
mod optional;
mod otelcol;
mod outage;
mod packages;
mod print_config;
mod prometheus;
mod recipes;
mod refused_together;
mod rotation;
mod sandbox;
mod scan_cost;
mod schema;
mod scraping;
mod service_manager;
mod start_times;
mod storage;
mod stuck;
mod subsystem_names;
mod systemd;
mod telemetry;
mod terminal;
mod tls;
mod tls_files;
mod troubleshooting;
mod unknown_keys;
mod unmatched_rules;
mod untrusted_text;
mod whole_sweeps;
mod wrong_peers;
