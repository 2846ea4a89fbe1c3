//! The API's rules for names: metric types, label keys and label values.

/// The maximum length of a label key
/// ([quotas](https://cloud.google.com/monitoring/quotas#custom_metrics_quotas)).
pub(crate) const MAX_KEY_BYTES: usize = 100;
/// The maximum length of a label value.
const MAX_VALUE_BYTES: usize = 1024;
/// The maximum number of labels of a metric.
pub(crate) const MAX_LABELS: usize = 30;
/// The maximum number of buckets of a distribution.
pub(crate) const MAX_BUCKETS: usize = 200;

/// The metric type: prefix and name, or the name alone where it contains a known domain.
pub(crate) fn metric_type(prefix: &str, known_domains: &[String], name: &str) -> String {
    let is_known = known_domains.iter().any(|domain| name.contains(&**domain));
    let whole = if is_known || prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    };
    // As Go's `path.Join`: empty parts are removed.
    let parts: Vec<&str> = whole.split('/').filter(|part| !part.is_empty()).collect();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    parts
        .join("/")
        .chars()
        .map(|c| if is_allowed(c) { c } else { '_' })
        .collect()
}

/// The domain of a prefix, which the API wants before each name: `custom.googleapis.com` of `custom.googleapis.com/mine`.
pub(crate) fn domain_of(prefix: &str) -> Option<&str> {
    let first = prefix.split('/').find(|part| !part.is_empty())?;
    let is_part = |it: &str| {
        let is_known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !it.is_empty() && it.chars().all(is_known)
    };
    (first.contains('.') && first.split('.').all(is_part)).then_some(first)
}

/// The name that the console shows: the type without its domain.
pub(crate) fn display_name(metric_type: &str) -> &str {
    metric_type
        .split_once('/')
        .map_or(metric_type, |(_, path)| path)
}

/// A label key: letters, digits and `_`, a letter first, at most 100 bytes.
pub(crate) fn label_key(key: &str) -> String {
    let replace = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let key: String = key.chars().map(replace).collect();
    let key = if key.starts_with(|c: char| c.is_ascii_alphabetic()) {
        key
    } else {
        format!("key_{}", key.trim_start_matches('_'))
    };
    truncate(key, MAX_KEY_BYTES)
}

/// A label value: at most 1,024 bytes.
pub(crate) fn label_value(value: String) -> String {
    truncate(value, MAX_VALUE_BYTES)
}

fn truncate(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_prefix_and_name_but_for_known_domains() {
        let known = ["googleapis.com".to_owned(), "istio.io".to_owned()];
        let type_of = |prefix, name| metric_type(prefix, &known, name);
        assert_eq!(
            type_of("workload.googleapis.com", "kvm.exits"),
            "workload.googleapis.com/kvm.exits"
        );
        assert_eq!(
            type_of("custom.googleapis.com/opentelemetry/", "/net//rx_bytes"),
            "custom.googleapis.com/opentelemetry/net/rx_bytes"
        );
        assert_eq!(
            type_of("workload.googleapis.com", "agent.googleapis.com/x"),
            "agent.googleapis.com/x",
            "the domain is known"
        );
        assert_eq!(type_of("p.d", "my/istio.io/x"), "my/istio.io/x", "anywhere");
        assert_eq!(type_of("", "net/rx"), "net/rx");
        assert_eq!(type_of("p.d", "a b{c}"), "p.d/a_b_c_");
        assert_eq!(display_name("p.d/net/rx"), "net/rx");
    }

    #[test]
    fn a_prefix_has_a_domain_first() {
        for prefix in [
            "workload.googleapis.com",
            "custom.googleapis.com/mine",
            "/p.d/",
        ] {
            assert!(domain_of(prefix).is_some(), "{prefix}");
        }
        for prefix in [
            "",
            "/",
            "mine",
            "mine/custom.googleapis.com",
            "a..b",
            ".com",
            "A.b",
            "my metrics.com",
        ] {
            assert_eq!(domain_of(prefix), None, "{prefix}");
        }
    }

    #[test]
    fn a_key_is_letters_digits_and_underscores_with_a_letter_first() {
        for (key, expected) in [
            ("vcpu", "vcpu"),
            ("service.name", "service_name"),
            ("0day", "key_0day"),
            ("_x", "key_x"),
            ("größe", "gr__e"),
            ("", "key_"),
        ] {
            assert_eq!(label_key(key), expected);
        }
        assert_eq!(label_key(&"a".repeat(101)).len(), 100);
        assert_eq!(label_value("ä".repeat(600)).len(), 1024);
        assert_eq!(label_value("ä".repeat(600) + "x").chars().count(), 512);
        assert_eq!(label_value(format!("x{}", "ä".repeat(600))).len(), 1023);
    }
}
