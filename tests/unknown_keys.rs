//! No key is ignored: one that nobody knows is refused wherever it stands, in each configuration of the repository.

use saphyr_parser::{Event, Parser};

use crate::common::{repository, run, text};

/// Maps whose keys are the user's own; `*` is any one part of a path.
const FREE: [&str; 11] = [
    "receivers",
    "processors",
    "exporters",
    "extensions",
    "service.pipelines",
    "service.resource",
    "receivers.*.labels",
    "exporters.*.headers",
    "processors.*.*.*.match.labels",
    "processors.*.*.*.*.match.labels",
    "processors.*.actions.*.map.values",
];

fn is_free(path: &[String]) -> bool {
    let is_match = |pattern: &str| {
        let parts: Vec<&str> = pattern.split('.').collect();
        parts.len() == path.len()
            && parts
                .iter()
                .zip(path)
                .all(|(part, name)| *part == "*" || part == name)
    };
    FREE.iter().any(|it| is_match(it))
}

/// Where another key can be inserted: in a map of a configuration.
struct Insertion {
    path: Vec<String>,
    /// In characters.
    at: usize,
    /// What has to be written there.
    written: String,
}

/// A map or a list that is being read.
enum Frame {
    /// The key whose value comes next, if it is that one's turn.
    Map(Option<String>),
    List(usize),
}

/// All maps of a text, and the components of which only the id is written.
fn insertions(yaml: &str) -> Vec<Insertion> {
    let characters: Vec<char> = yaml.chars().collect();
    let (mut insertions, mut frames, mut path) = (Vec::new(), Vec::<Frame>::new(), Vec::new());
    // What begins is the value of this key, or the item of this number.
    let begin = |frames: &mut Vec<Frame>, path: &mut Vec<String>| match frames.last_mut() {
        Some(Frame::Map(key)) => path.push(key.take().unwrap()),
        Some(Frame::List(next)) => {
            path.push(next.to_string());
            *next += 1;
        }
        None => {}
    };
    for event in Parser::new_from_str(yaml) {
        let (event, span) = event.unwrap();
        let (at, column) = (span.start.index(), span.start.col());
        match event {
            Event::MappingStart(..) => {
                begin(&mut frames, &mut path);
                frames.push(Frame::Map(None));
                let written = match characters[at..] {
                    ['{', '}', ..] => "bogus_key: 1".into(),
                    ['{', ..] => "bogus_key: 1, ".into(),
                    _ => format!("bogus_key: 1\n{}", " ".repeat(column)),
                };
                let at = at + usize::from(characters[at] == '{');
                insertions.push(Insertion {
                    path: path.clone(),
                    at,
                    written,
                });
            }
            Event::SequenceStart(..) => {
                begin(&mut frames, &mut path);
                frames.push(Frame::List(0));
            }
            Event::MappingEnd | Event::SequenceEnd => {
                frames.pop();
                path.pop();
            }
            Event::Scalar(value, ..) => {
                if let Some(Frame::Map(key @ None)) = frames.last_mut() {
                    *key = Some(value.into_owned());
                    continue;
                }
                begin(&mut frames, &mut path);
                if path.len() == 2 && path[0] != "service" && span.start == span.end {
                    // Nothing is written: behind the key's colon.
                    let at = at + usize::from(characters.get(at) == Some(&':'));
                    let written = " {bogus_key: 1}".into();
                    let path = path.clone();
                    insertions.push(Insertion { path, at, written });
                }
                path.pop();
            }
            _ => {}
        }
    }
    insertions
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let mut refused = 0;
    for file in std::fs::read_dir(repository("configs")).unwrap() {
        let file = file.unwrap().path();
        let yaml = std::fs::read_to_string(&file).unwrap();
        for Insertion { path, at, written } in insertions(&yaml) {
            if is_free(&path) {
                continue;
            }
            let before: String = yaml.chars().take(at).collect();
            let after: String = yaml.chars().skip(at).collect();
            let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
            let changed = format!("{before}{written}{after}");
            let output = run(&changed, &["validate"]);
            let stderr = text(&output.stderr);
            let is_reported = stderr.contains("unknown key `bogus_key`")
                && stderr.contains(&format!("standard input:{line}:"));
            assert!(
                output.status.code() == Some(2) && is_reported,
                "{} {path:?}, line {line}: {stderr}\n{changed}",
                file.display()
            );
            refused += 1;
        }
    }
    assert!(refused > 80, "{refused}");
}
