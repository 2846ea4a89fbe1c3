//! Between batches and OTLP: the message itself ([`to_request`], [`to_json`]), and its bytes without the message ([`Encoder`]).

mod encoder;
mod groups;
mod json;
mod message;
mod point;
mod template;

pub use encoder::Encoder;
pub use json::to_json;
pub use message::to_request;
