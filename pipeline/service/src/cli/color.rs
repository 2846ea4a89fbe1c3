//! `--color`, and what the environment says where it says nothing.

use std::ffi::OsString;

use clap::ColorChoice as Wish;
use pipeline::ColorChoice;

/// When to colour: as the command line says, and where it does not, not with `NO_COLOR`, if that is not empty
/// ([no-color.org](https://no-color.org)), and not on a terminal that knows no escape codes
/// ([terminfo(5)](https://man7.org/linux/man-pages/man5/terminfo.5.html): `TERM=dumb`).
pub(super) fn choice(wish: Wish, env: impl Fn(&str) -> Option<OsString>) -> ColorChoice {
    let is_unwanted = || {
        env("NO_COLOR").is_some_and(|it| !it.is_empty())
            || env("TERM").is_some_and(|it| it == "dumb")
    };
    match wish {
        Wish::Always => ColorChoice::Always,
        Wish::Never => ColorChoice::Never,
        Wish::Auto if is_unwanted() => ColorChoice::Never,
        Wish::Auto => ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_stronger_than_the_environment() {
        let set = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| OsString::from(value))
        };
        let of = |wish, name, value| choice(wish, set(name, value));
        assert_eq!(of(Wish::Auto, "TERM", "xterm"), ColorChoice::Auto);
        assert_eq!(of(Wish::Auto, "TERM", "dumb"), ColorChoice::Never);
        assert_eq!(of(Wish::Auto, "NO_COLOR", "0"), ColorChoice::Never);
        assert_eq!(of(Wish::Auto, "NO_COLOR", ""), ColorChoice::Auto);
        assert_eq!(of(Wish::Always, "NO_COLOR", "1"), ColorChoice::Always);
        assert_eq!(of(Wish::Never, "TERM", "xterm"), ColorChoice::Never);
    }
}
