//! Which type of component an id names.

use pipeline::config::Node;
use pipeline::{Factory, Registration};

use super::check::Check;
use super::diagnostic::Diagnostic;
use super::hint::hint;

impl Check<'_> {
    /// The registration of an id's type.
    pub(super) fn find(
        &mut self,
        section: &str,
        kind: &str,
        id: &str,
        node: &Node,
    ) -> Option<(&'static Registration, &'static Factory)> {
        let (name, rest) = id.split_once('/').unwrap_or((id, "-"));
        let known: Vec<_> = self
            .registry
            .iter()
            .filter(|it| it.factory.kind() == kind)
            .copied()
            .collect();
        let diagnostic = if !is_type(name)
            || rest.is_empty()
            || rest.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            Diagnostic::error(format!("`{id}` is no id")).help("an id is `type` or `type/name`")
        } else if let Some(registration) = known.iter().find(|it| it.type_name == name) {
            return Some((registration, &registration.factory));
        } else {
            let types: Vec<_> = known.iter().map(|it| it.type_name).collect();
            let has = match &types[..] {
                [] => "none".into(),
                types => format!("`{}`", types.join("`, `")),
            };
            Diagnostic::error(format!(
                "this binary has no {kind} of type `{name}`; it has {has}"
            ))
            .help(hint(kind, name, &types))
        };
        self.diagnostics
            .push(diagnostic.at_key(node.origin.as_ref()).path(&[section, id]));
        None
    }
}

/// Types that two crates have registered.
pub(super) fn registered_twice(all: &[&'static Registration]) -> impl Iterator<Item = Diagnostic> {
    let twice = all.windows(2).filter_map(|pair| match pair {
        [a, b] if (a.factory.kind(), a.type_name) == (b.factory.kind(), b.type_name) => {
            Some((a, b))
        }
        _ => None,
    });
    twice.map(|(a, b)| {
        let (kind, name) = (a.factory.kind(), a.type_name);
        let crates = format!(
            "by {} {} and by {} {}",
            a.crate_name, a.version, b.crate_name, b.version
        );
        Diagnostic::error(format!(
            "the {kind} type `{name}` is registered twice: {crates}; link only one of them"
        ))
    })
}

/// The type that an id names.
pub(super) fn type_of(id: &str) -> &str {
    id.split('/').next().unwrap_or(id)
}

/// The Collector's rule for types.
fn is_type(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 63
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Twice;

    impl pipeline::Component for Twice {
        const TYPE: &'static str = "twice";
        type Config = bool;

        fn build(_: bool, _: &pipeline::Context) -> pipeline::Result<Twice> {
            Ok(Twice)
        }
    }

    impl pipeline::PerSeries for Twice {
        fn rewrite(&self, _: &pipeline::Head, _: &mut pipeline::Series) -> pipeline::Verdict {
            pipeline::Verdict::Keep
        }
    }

    #[test]
    fn a_type_that_two_crates_register_names_both() {
        static ONE: Registration = Registration::per_series::<Twice>("crate-a", "1.0.0", "a.rs");
        static TWO: Registration = Registration::per_series::<Twice>("crate-b", "2.0.0", "b.rs");
        let messages: Vec<_> = registered_twice(&[&ONE, &TWO])
            .map(|it| it.message)
            .collect();
        let expected = "the processor type `twice` is registered twice: by crate-a 1.0.0 and by crate-b 2.0.0; link only one of them";
        assert_eq!(messages, [expected]);
        assert_eq!(registered_twice(&[&ONE]).count(), 0);
    }
}
