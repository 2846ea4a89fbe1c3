//! What a client wants, by its headers
//! ([Prometheus: content negotiation](https://prometheus.io/docs/instrumenting/content_negotiation/)).

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use pipeline::formats::prometheus::{Escaping, Format};

/// Longer headers are not looked at further.
const MAX_CHOICES: usize = 64;

/// How an exposition is written for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) format: Format,
    pub(crate) escaping: Escaping,
    pub(crate) gzip: bool,
}

impl Negotiated {
    /// The first of those with the highest weight that there is; the text format for who wants another one.
    pub(crate) fn of(headers: &HeaderMap, open_metrics: bool) -> Negotiated {
        let mut best = (Negotiated::default(), 0.0);
        for choice in choices(headers, ACCEPT) {
            let (media, parameters) = choice;
            let weight = weight(&parameters);
            let wanted =
                wanted(media, &parameters).filter(|it| open_metrics || it.format == Format::Text);
            if let Some(wanted) = wanted.filter(|_| weight > best.1) {
                best = (wanted, weight);
            }
        }
        let gzip = takes_gzip(headers);
        Negotiated { gzip, ..best.0 }
    }

    /// What it is called.
    pub(crate) fn content_type(self) -> String {
        let escaping = match self.escaping {
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
            Escaping::AllowUtf8 => "allow-utf-8",
        };
        let media = match (self.format, self.escaping) {
            (Format::OpenMetrics, _) => "application/openmetrics-text; version=1.0.0",
            // Names in quotes came with this version.
            (Format::Text, Escaping::AllowUtf8) => "text/plain; version=1.0.0",
            (Format::Text, _) => "text/plain; version=0.0.4",
        };
        format!("{media}; charset=utf-8; escaping={escaping}")
    }
}

/// What a client says of gzip holds, by either of its names, whatever it says of `*`
/// ([RFC 9110, 12.5.3](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3)).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = choices(headers, ACCEPT_ENCODING);
    let highest = |names: &[&str]| {
        let is_named = |it: &str| names.iter().any(|name| name.eq_ignore_ascii_case(it));
        let named = encodings.iter().filter(|(name, _)| is_named(name));
        named
            .map(|(_, parameters)| weight(parameters))
            .reduce(f64::max)
    };
    let gzip = highest(&["gzip", "x-gzip"]).or_else(|| highest(&["*"]));
    gzip.is_some_and(|weight| weight > 0.0)
}

type Parameters<'a> = Vec<(&'a str, &'a str)>;

/// What a header lists, each with its parameters.
fn choices(headers: &HeaderMap, name: http::HeaderName) -> Vec<(&str, Parameters<'_>)> {
    let texts = headers.get_all(name).into_iter();
    let choices = texts
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','));
    let parsed = choices.take(MAX_CHOICES).map(|choice| {
        let mut parts = choice.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|it| it.split_once('='));
        (
            media,
            parameters
                .map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
                .collect(),
        )
    });
    parsed.collect()
}

fn parameter<'a>(parameters: &Parameters<'a>, key: &str) -> Option<&'a str> {
    let mut all = parameters.iter();
    all.find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| *value)
}

fn weight(parameters: &Parameters<'_>) -> f64 {
    let written = parameter(parameters, "q").map_or(Some(1.0), |q| q.parse().ok());
    written.filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0)
}

fn wanted(media: &str, parameters: &Parameters<'_>) -> Option<Negotiated> {
    let version = parameter(parameters, "version");
    let format = match (&*media.to_ascii_lowercase(), version) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Format::OpenMetrics,
        ("text/plain", None | Some("0.0.4" | "1.0.0")) | ("text/*" | "*/*", _) => Format::Text,
        _ => return None,
    };
    let escaping = match parameter(parameters, "escaping") {
        Some("allow-utf-8") => Escaping::AllowUtf8,
        Some("dots") => Escaping::Dots,
        Some("values") => Escaping::Values,
        _ => Escaping::Underscores,
    };
    Some(Negotiated {
        format,
        escaping,
        gzip: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str, open_metrics: bool) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Negotiated::of(&headers, open_metrics).content_type()
    }

    #[test]
    fn a_client_gets_what_it_wants_most_of_what_there_is() {
        let text = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
        let utf8 = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
        let open = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, expected, without) in [
            (prometheus_3, format!("{open}allow-utf-8"), utf8),
            (prometheus_2, format!("{open}underscores"), text),
            ("*/*", text.into(), text),
            (
                "Application/OpenMetrics-Text",
                format!("{open}underscores"),
                text,
            ),
            ("text/html, application/json;q=0.9", text.into(), text),
            (
                "application/openmetrics-text; version=\"1.0.0\"; escaping=values",
                format!("{open}values"),
                text,
            ),
            (
                "application/openmetrics-text;q=0, text/plain;q=0.1",
                text.into(),
                text,
            ),
            ("application/openmetrics-text;q=x", text.into(), text),
            ("", text.into(), text),
        ] {
            assert_eq!(of(accept, true), expected, "{accept}");
            assert_eq!(of(accept, false), without, "{accept}");
        }
    }

    #[test]
    fn gzip_is_for_who_takes_it() {
        for (encodings, expected) in [
            (&["gzip"][..], true),
            (&["deflate, gzip;q=0.5"], true),
            (&["br", "*"], true),
            (&["GZip"], true),
            (&["*;q=0, gzip;q=0.1"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["*", "gzip;Q=0"], false),
            (&["*;q=0"], false),
            (&["identity"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for encoding in encodings {
                headers.append(ACCEPT_ENCODING, encoding.parse().unwrap());
            }
            assert_eq!(
                Negotiated::of(&headers, true).gzip,
                expected,
                "{encodings:?}"
            );
        }
    }
}
