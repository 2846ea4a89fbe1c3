//! Sending: which points go in which request, the requests themselves, and what the API's answers mean.

pub(crate) mod answer;
pub(crate) mod api;
mod calls;
pub(crate) mod descriptors;
mod export;
pub(crate) mod pace;
pub(crate) mod series_states;
