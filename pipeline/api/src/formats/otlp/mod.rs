//! Between batches and OTLP: the message itself ([`to_request`]), and its bytes without the message ([`encode`]).

mod groups;
mod message;
mod point;
mod template;

pub use message::to_request;
pub(crate) use template::Template;
pub use template::encode;
