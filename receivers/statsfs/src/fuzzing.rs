//! The entry points of the fuzz targets, and what has to hold for every input.

use pipeline::Value;

use crate::config::ValueFormat;
use crate::discovery::name::{escape, shorten};

/// No text makes it panic.
pub fn schema(text: &str) {
    let limits = crate::discovery::schema::SchemaLimits {
        labels: 32,
        label_bytes: 4096,
    };
    let schema = crate::discovery::schema::parse(text, &limits);
    let labels = schema.labels.unwrap_or_default();
    let size = labels.iter().map(|(name, value)| name.len() + value.len());
    assert!(labels.len() <= limits.labels && size.sum::<usize>() <= limits.label_bytes);
}

/// No content makes it panic, and none without a minus becomes negative.
pub fn value(bytes: &[u8]) {
    for format in [
        ValueFormat::Int,
        ValueFormat::Float,
        ValueFormat::Hex,
        ValueFormat::Bool,
    ] {
        let parsed = crate::read::value::parse(bytes, format);
        let is_negative = matches!(parsed, Ok((Value::Int(it), _)) if it < 0);
        assert!(!is_negative || bytes.contains(&b'-'));
    }
}

/// Two different names, both UTF-8 or both not, stay different, and none is too long.
pub fn names(a: &[u8], b: &[u8]) {
    let is_text = [a, b].map(|it| std::str::from_utf8(it).is_ok());
    if a != b && is_text[0] == is_text[1] {
        assert_ne!(escape(a), escape(b));
    }
    assert!(shorten(escape(a)).len() <= 255);
}
