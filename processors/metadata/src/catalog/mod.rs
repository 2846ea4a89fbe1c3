//! What is known of kernel statistics, by path.

mod built_in;
mod file;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use file::one;
pub(crate) use file::{CatalogEntry, CatalogFile};

/// All catalogs: the users' own, then what this project knows.
#[derive(Debug)]
pub(crate) struct Catalog {
    own: Vec<CatalogFile>,
    built_in: Vec<built_in::Part>,
}

impl Catalog {
    /// The users' catalogs, of which the first is asked first, before the built-in one.
    pub(crate) fn new(own: Vec<CatalogFile>) -> Catalog {
        let built_in = built_in::parts();
        Catalog { own, built_in }
    }

    /// Nothing is known but this.
    #[cfg(test)]
    pub(crate) fn only(text: &str) -> Catalog {
        let file = CatalogFile::parse("a.yaml", text).unwrap();
        let (own, built_in) = (vec![file], Vec::new());
        Catalog { own, built_in }
    }

    /// The subsystems of which something is known.
    pub(crate) fn subsystems(&self) -> impl Iterator<Item = &str> {
        let own = self.own.iter().flat_map(CatalogFile::subsystems);
        let built_in = self.built_in.iter().flat_map(built_in::Part::subsystems);
        own.chain(built_in)
    }

    /// What is known of a file.
    pub(crate) fn find(
        &self,
        directory: &str,
        file: &str,
        filesystem: &str,
    ) -> Option<&CatalogEntry> {
        let subsystem = directory.split('/').next()?;
        let built_in = self.built_in.iter().filter(|it| it.knows(subsystem));
        let files = self.own.iter().chain(built_in.map(built_in::Part::file));
        files
            .into_iter()
            .find_map(|it| it.find(directory, file, filesystem))
    }
}
