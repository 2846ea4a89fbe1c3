//! Whose count it is: the kind of a component, its id, and a subsystem of it.

use std::sync::Arc;

use pipeline::telemetry::{ComponentKind, Counter};

/// Whose count it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who<'a> {
    pub(crate) kind: ComponentKind,
    pub(crate) id: &'a str,
    pub(crate) subsystem: Option<&'a str>,
}

impl<'a> Who<'a> {
    /// Whose count this is among these components. A receiver counts its subsystems as `id subsystem`; where pipelines come
    /// together, that is counted as `metrics/a, metrics/b`.
    pub(crate) fn of(
        component: &'a str,
        counter: Counter,
        components: &[(ComponentKind, Arc<str>)],
    ) -> Who<'a> {
        let kinds = |id: &str| {
            let all = components.iter().filter(move |(_, it)| **it == *id);
            all.map(|(kind, _)| *kind).collect::<Vec<_>>()
        };
        let all = kinds(component);
        // Where a receiver and an exporter have one id, what is counted tells which of them it is.
        let kind = all.iter().find(|kind| **kind == natural_kind(counter));
        if let Some(kind) = kind.or(all.first()) {
            let (id, subsystem) = (component, None);
            return Who {
                kind,
                id,
                subsystem,
            };
        }
        let (id, rest) = component.split_once(' ').unwrap_or((component, ""));
        if kinds(id).contains(&"receiver") {
            return Who {
                kind: "receiver",
                id,
                subsystem: Some(rest),
            };
        }
        let first = id.trim_end_matches(',');
        let kind = match component {
            "service" => "service",
            _ if kinds(first).contains(&"pipeline") => "pipeline",
            _ => "component",
        };
        Who {
            kind,
            id: component,
            subsystem: None,
        }
    }
}

/// Who counts it, where that is one kind.
fn natural_kind(counter: Counter) -> ComponentKind {
    match counter {
        Counter::POINTS_INCOMING | Counter::POINTS_OUTGOING => "processor",
        Counter::POINTS_HANDED
        | Counter::POINTS_SENT
        | Counter::POINTS_REJECTED
        | Counter::POINTS_QUEUED
        | Counter::QUEUE_SIZE
        | Counter::QUEUE_CAPACITY => "exporter",
        Counter::POINTS_READ | Counter::SWEEPS | Counter::SWEEPS_SKIPPED | Counter::SERIES => {
            "receiver"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_its_component_s_by_kind_id_and_subsystem() {
        let components = [
            ("exporter", "otlp"),
            ("pipeline", "metrics/a"),
            ("receiver", "otlp"),
            ("receiver", "statsfs"),
        ];
        let components = components.map(|(kind, id)| (kind, Arc::from(id)));
        for (component, counter, expected) in [
            ("otlp", Counter::POINTS_SENT, ("exporter", "otlp", None)),
            ("otlp", Counter::POINTS_READ, ("receiver", "otlp", None)),
            (
                "statsfs a net",
                Counter::FILES_READ,
                ("receiver", "statsfs", Some("a net")),
            ),
            (
                "metrics/a",
                Counter::POINTS_DROPPED,
                ("pipeline", "metrics/a", None),
            ),
            (
                "metrics/a, metrics/b",
                Counter::POINTS_DROPPED,
                ("pipeline", "metrics/a, metrics/b", None),
            ),
            ("service", Counter::SWEEPS, ("service", "service", None)),
            ("other x", Counter::SWEEPS, ("component", "other x", None)),
        ] {
            let who = Who::of(component, counter, &components);
            assert_eq!((who.kind, who.id, who.subsystem), expected);
        }
    }
}
