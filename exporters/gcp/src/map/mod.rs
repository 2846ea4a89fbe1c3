//! From a table of the pipeline to monitored resources, metrics and values of the API.

pub(crate) mod amount;
mod distribution;
pub(crate) mod mapping;
pub(crate) mod names;
mod resource;
pub(crate) mod tables;
