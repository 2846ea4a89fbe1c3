//! Sends points: which points go in which request, the requests themselves, and what the responses mean.

pub(crate) mod api;
pub(crate) mod backoff;
mod create_descriptors;
mod deferred;
pub(crate) mod descriptors;
pub(crate) mod drop_reasons;
mod export;
pub(crate) mod outcome;
pub(crate) mod pace;
mod requests;
mod retry_deferred;
pub(crate) mod series_states;
