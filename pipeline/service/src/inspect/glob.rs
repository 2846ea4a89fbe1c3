//! Which sources are listed.

use pipeline::config::Pattern;

/// A glob of paths.
pub(crate) struct Glob {
    whole: Pattern,
    /// Its first part, its first two, …; `None` from `**` on, which fits all that is below.
    prefixes: Vec<Option<Pattern>>,
}

impl Glob {
    /// A glob as in the configuration.
    ///
    /// # Errors
    /// What is wrong in it.
    pub(crate) fn new(text: &str) -> Result<Glob, String> {
        let whole = Pattern::glob(text)?;
        let ends = text.match_indices('/').map(|(at, _)| at);
        let prefix = |end: usize| {
            let prefix = &text[..end];
            // Half an alternative is no glob.
            let prefix = (!prefix.contains("**")).then_some(prefix);
            prefix.and_then(|it| Pattern::glob(it).ok())
        };
        let prefixes = ends.map(prefix).collect();
        Ok(Glob { whole, prefixes })
    }

    /// Whether it fits this source; of a directory, which has a `/` at its end, whether it fits that or may fit something below.
    pub(crate) fn fits(&self, source: &str) -> bool {
        let Some(directory) = source.strip_suffix('/') else {
            return self.whole.is_match(source);
        };
        let depth = directory.matches('/').count();
        let below = self.prefixes.get(depth);
        let may_fit_below = below.or(self.prefixes.last().filter(|last| last.is_none()));
        self.whole.is_match(directory)
            || self.whole.is_match(source)
            || may_fit_below
                .is_some_and(|prefix| prefix.as_ref().is_none_or(|it| it.is_match(directory)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_listed_where_the_glob_fits_something_below_it() {
        let fits = |glob: &str, source: &str| Glob::new(glob).unwrap().fits(source);
        assert!(fits("net/*/mtu", "net/eth0/mtu"));
        assert!(!fits("net/*/mtu", "net/eth0/mtu/"), "deeper");
    }
}
