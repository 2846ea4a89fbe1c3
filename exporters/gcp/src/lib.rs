//! x
#![allow(dead_code)]
use flate2 as _;
mod amount;
mod config;
mod distribution;
mod names;
mod pace;
mod refused;
mod resource;
