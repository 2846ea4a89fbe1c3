//! What components that serve HTTP share: where they listen, TLS, limits, and whom they answer.
//!
//! A component has a [`ServerConfig`]'s fields among its own, [builds](ServerConfig::build) a [`Server`] of them,
//! [binds](Server::bind) it when it starts, and [serves](Listening::serve) a router until it ends. Each server has one thread
//! of its own: what it does there holds up neither the pipeline nor another server.

mod config;
mod connection;
mod connections;
mod endpoint;
mod get;
mod listener;
mod server;
mod taken;
mod visitors;

pub use axum;
pub use config::{Limits, ServerConfig};
pub use endpoint::Endpoint;
pub use get::get;
pub use pipeline_tls::ServerTls;
pub use server::{Listening, Server};
