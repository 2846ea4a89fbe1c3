//! A configuration of any text, from loading to its diagnostics: what the fuzz target and the random test run.

use super::load::Loaded;

/// Loads a text as a file and as a `--set`, substitutes without an environment, checks it, and shows what is wrong.
pub(crate) fn load_and_check(text: &str) {
    let mut loaded = Loaded::empty();
    loaded.add("random.yaml", text.into());
    loaded.set(text);
    loaded.substitute(&|_| None);
    drop(super::check(&mut loaded));
    super::render(&loaded.diagnostics, &loaded.texts);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that are nearly right: those of the repository, with a few characters changed.
    fn nearly(texts: &[String], random: &mut fastrand::Rng) -> String {
        const ODD: [&str; 22] = [
            "\t", "\n", ":", " ", "- ", "{", "}", "[", "]", "\"", "'", "#", "&a ", "*a", "!", "|",
            "${", "$$", "ö", "\u{feff}", "<<: ", "\0",
        ];
        let mut text: Vec<char> = texts[random.usize(..texts.len())].chars().collect();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..=text.len());
            match random.u8(..4) {
                0 => text.truncate(at),
                1 if at < text.len() => drop(text.remove(at)),
                _ => drop(text.splice(at..at, ODD[random.usize(..ODD.len())].chars())),
            }
        }
        text.into_iter().collect()
    }

    #[test]
    fn no_configuration_makes_it_panic() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let files = ["configs", "tests/configurations"]
            .iter()
            .flat_map(|it| std::fs::read_dir(root.join(it)).unwrap());
        let files = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "yaml"));
        let texts: Vec<String> = files
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..3_000 {
            let text = nearly(&texts, &mut random);
            let attempt = std::panic::catch_unwind(|| load_and_check(&text));
            assert!(attempt.is_ok(), "seed {seed}, round {round}: {text:?}");
        }
    }
}
