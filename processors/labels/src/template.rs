//! Names made of `{subsystem}`, `{metric}` and `{name}`.

/// A template filled in.
pub(crate) fn fill(
    template: &str,
    subsystem: &str,
    metric: &str,
    name: &str,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('}').ok_or("a brace does not close")?;
        out.push_str(match &rest[at..=at + end] {
            "{subsystem}" => subsystem,
            "{metric}" => metric,
            "{name}" => name,
            other => {
                return Err(format!(
                    "`{other}` is neither `{{subsystem}}`, `{{metric}}` nor `{{name}}`"
                ));
            }
        });
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    if out.is_empty() {
        Err("is empty".into())
    } else {
        Ok(out)
    }
}
