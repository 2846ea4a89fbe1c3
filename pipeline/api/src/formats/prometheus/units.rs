//! Units in words, as Prometheus' names have them: `By/s` is `bytes_per_second`
//! ([OpenTelemetry: metric metadata](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-metadata-1)).

/// UCUM's symbols, the word, and whether they take a prefix.
const SYMBOLS: [(&str, &str, bool); 17] = [
    ("s", "seconds", true),
    ("min", "minutes", false),
    ("h", "hours", false),
    ("d", "days", false),
    ("By", "bytes", true),
    ("bit", "bits", true),
    ("m", "meters", true),
    ("g", "grams", true),
    ("V", "volts", true),
    ("A", "amperes", true),
    ("W", "watts", true),
    ("J", "joules", true),
    ("Hz", "hertz", true),
    ("Cel", "celsius", true),
    ("K", "kelvins", true),
    ("Pa", "pascals", true),
    ("%", "percent", true),
];

const PREFIXES: [(&str, &str); 13] = [
    ("Ki", "kibi"),
    ("Mi", "mebi"),
    ("Gi", "gibi"),
    ("Ti", "tebi"),
    ("k", "kilo"),
    ("M", "mega"),
    ("G", "giga"),
    ("T", "tera"),
    ("d", "deci"),
    ("c", "centi"),
    ("m", "milli"),
    ("u", "micro"),
    ("n", "nano"),
];

/// As the kernel's names spell some units at their end, besides UCUM's symbols.
const SPELLINGS: [(&str, &[&str]); 7] = [
    ("s", &["sec", "secs"]),
    ("ms", &["msec", "msecs"]),
    ("us", &["usec", "usecs"]),
    ("ns", &["nsec", "nsecs"]),
    ("KiBy", &["kb"]),
    ("MiBy", &["mb"]),
    ("%", &["pct"]),
];

/// The unit in words, lower case and joined by `_`; empty for a number of things (`1`, `{packet}`).
pub(super) fn words(unit: &str) -> String {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let main = product(main);
    let per = product(per);
    match (main.is_empty(), per.is_empty()) {
        (_, true) => main,
        (true, false) => format!("per_{}", singular(&per)),
        (false, false) => format!("{main}_per_{}", singular(&per)),
    }
}

/// `uA.h` is `microampere_hours`.
fn product(unit: &str) -> String {
    let factors = unit.split('.').map(|it| it.split('{').next().unwrap_or(it));
    let factors = factors.map(factor).filter(|word| !word.is_empty());
    let mut words: Vec<String> = factors.collect();
    if let Some((_, before)) = words.split_last_mut() {
        before
            .iter_mut()
            .for_each(|word| *word = singular(word).into());
    }
    words.join("_")
}

fn factor(symbol: &str) -> String {
    if symbol == "1" {
        return String::new();
    }
    let known = |of: &str, prefixed: bool| {
        let mut all = SYMBOLS.iter();
        all.find(|(symbol, _, takes)| *symbol == of && (*takes || !prefixed))
            .map(|(_, word, _)| *word)
    };
    if let Some(word) = known(symbol, false) {
        return word.into();
    }
    let prefixed = PREFIXES.iter().find_map(|(prefix, word)| {
        let unit = known(symbol.strip_prefix(prefix)?, true)?;
        Some(format!("{word}{unit}"))
    });
    prefixed.unwrap_or_else(|| super::names::tokens(symbol).join("_"))
}

fn singular(word: &str) -> &str {
    if word.ends_with("celsius") {
        return word;
    }
    word.strip_suffix('s').unwrap_or(word)
}

/// Whether a name, of these parts, says its unit already: in words, or at its end by a symbol as the kernel has it
/// (`halt_wait_ns`).
pub(super) fn is_said(parts: &[&str], unit: &str, words: &str) -> bool {
    let name = format!("_{}_", parts.join("_").to_ascii_lowercase());
    let Some(last) = parts.last().map(|it| it.to_ascii_lowercase()) else {
        return false;
    };
    let symbol: String = unit.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut spellings = SPELLINGS.iter().filter(|(of, _)| *of == unit);
    name.contains(&format!("_{}_", words.to_ascii_lowercase()))
        || (!symbol.is_empty() && last == symbol.to_ascii_lowercase())
        || spellings.any(|(_, all)| all.contains(&&*last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_spelt_out() {
        for (unit, expected) in [
            ("", ""),
            ("1", ""),
            ("{packet}", ""),
            ("By", "bytes"),
            ("By/s", "bytes_per_second"),
            ("{rev}/min", "per_minute"),
            ("1/s", "per_second"),
            ("By/{request}", "bytes"),
            ("ms", "milliseconds"),
            ("min", "minutes"),
            ("d", "days"),
            ("dCel", "decicelsius"),
            ("mCel", "millicelsius"),
            ("kHz", "kilohertz"),
            ("KiBy", "kibibytes"),
            ("MBy", "megabytes"),
            ("uA.h", "microampere_hours"),
            ("uW.h", "microwatt_hours"),
            ("m%", "millipercent"),
            ("bit", "bits"),
            ("unit__of/mine", "unit_of_per_mine"),
            ("@", ""),
        ] {
            assert_eq!(words(unit), expected, "{unit}");
        }
    }

    #[test]
    fn a_name_says_its_unit_in_words_or_at_its_end_as_the_kernel_does() {
        for (parts, unit, expected) in [
            (&["halt", "wait", "ns"][..], "ns", true),
            (&["halt", "wait", "ns"], "s", false),
            (&["rx", "bytes"], "By", true),
            (&["bytes", "rx"], "By", true),
            (&["rx", "kbytes"], "By", false),
            (&["size", "kb"], "KiBy", true),
            (&["time", "usecs"], "us", true),
            (&["a", "m"], "m", true),
            (&["m", "a"], "m", false),
            (&["active", "power"], "W", false),
            (&["bytes", "per", "second", "max"], "By/s", true),
            (&[], "s", false),
        ] {
            assert_eq!(
                is_said(parts, unit, &words(unit)),
                expected,
                "{parts:?} {unit}"
            );
        }
    }
}
