//! Maps tables of the pipeline to monitored resources, metrics and values of the API.

mod distribution;
pub(crate) mod names;
pub(crate) mod point_value;
mod resource;
pub(crate) mod series;
pub(crate) mod tables;
