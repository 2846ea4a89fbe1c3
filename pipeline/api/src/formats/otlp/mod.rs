//! Between batches and OTLP: the message itself ([`to_request`]), and its bytes without the message ([`Encoder`]).

mod encoder;
mod groups;
mod message;
mod point;
mod template;

pub use encoder::Encoder;
pub use message::to_request;
