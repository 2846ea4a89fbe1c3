//! Between batches and OTLP: the message itself ([`to`]), and its bytes without the message ([`encode`]).

mod point;
mod template;
mod to;

pub(crate) use template::Template;
pub use template::encode;
pub use to::to;
