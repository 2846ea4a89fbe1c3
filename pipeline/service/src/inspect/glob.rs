//! Which sources are listed.

use pipeline::config::Pattern;

/// A glob of paths.
pub(crate) struct Glob {
    whole: Pattern,
    /// Its first part, its first two, …, up to the one with `**`, which fits all that is below. None for half an alternative,
    /// which is no glob.
    prefixes: Vec<Option<Pattern>>,
    is_endless: bool,
}

impl Glob {
    /// A glob as in the configuration.
    ///
    /// # Errors
    /// What is wrong in it.
    pub(crate) fn new(text: &str) -> Result<Glob, String> {
        let whole = Pattern::glob(text)?;
        let endless = text.find("**");
        let mut ends: Vec<usize> = text.match_indices('/').map(|(at, _)| at).collect();
        ends.push(text.len());
        let last = endless.and_then(|endless| ends.iter().position(|end| *end > endless));
        ends.truncate(last.map_or(ends.len(), |last| last + 1));
        let prefixes = ends.iter().map(|end| Pattern::glob(&text[..*end]).ok());
        Ok(Glob {
            whole,
            prefixes: prefixes.collect(),
            is_endless: endless.is_some(),
        })
    }

    /// Whether it fits this source; of a directory, which has a `/` at its end, whether it fits that or may fit something below.
    pub(crate) fn fits(&self, source: &str) -> bool {
        let Some(directory) = source.strip_suffix('/') else {
            return self.whole.is_match(source);
        };
        let mut depth = directory.matches('/').count();
        if self.is_endless {
            depth = depth.min(self.prefixes.len() - 1);
        }
        let prefix = self.prefixes.get(depth);
        prefix.is_some_and(|prefix| prefix.as_ref().is_none_or(|it| it.is_match(directory)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_listed_where_the_glob_fits_it_or_may_fit_something_below_it() {
        let fits = |glob: &str, source: &str| Glob::new(glob).expect("a glob").fits(source);
        for (glob, source, expected) in [
            ("net/*/mtu", "net/eth0/mtu", true),
            ("net/*/mtu", "net/eth0/", true),
            ("net/*/mtu", "net/eth0/mtu/", true),
            ("net/*/mtu", "net/eth0/mtu/x/", false),
            ("net/*/mtu", "net/eth0/queues/", false),
            ("net/*/mtu", "kvm/", false),
            ("net/**", "net/", true),
            ("net/**", "net/eth0/queues/", true),
            ("net/**", "kvm/1-2/", false),
            ("net/**/x", "net/eth0/queues/rx-0/", true),
            ("net/**/x", "kvm/1-2/", false),
            ("**/x", "kvm/1-2/", true),
            ("{net/*/a,kvm/*/b}/c", "net/eth0/", true),
        ] {
            assert_eq!(fits(glob, source), expected, "{glob} {source}");
        }
    }
}
