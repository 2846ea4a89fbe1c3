//! The entry points of the fuzz targets, and what has to hold for every input.

use pipeline::{Kind, Value};

use crate::histograms::Histograms;
use crate::layout::Layouts;

/// No bytes make it panic, and each statistic of a block that is read has a value of its kind.
pub fn block(file: &[u8]) {
    for normalize in [false, true] {
        let Ok((layout, _)) = Layouts::new(normalize).of_file(file) else {
            return;
        };
        assert!(
            layout
                .mark(file)
                .is_some_and(|it| layout.has_mark(file, &it))
        );
        for statistic in layout.statistics.iter() {
            let value = statistic.value(layout.data(file), &mut 0, &mut Histograms::default());
            match &statistic.column.metric.kind {
                Kind::Histogram { bounds, .. } => {
                    let Value::Histogram(value) = value else {
                        panic!("{statistic:?}: {value:?}")
                    };
                    assert_eq!(value.counts.len(), bounds.0.len() + 1);
                }
                _ => assert!(matches!(value, Value::Int(_) | Value::Double(_))),
            }
        }
    }
}

/// No command line makes it panic, and what is kept of it is short and on one line.
pub fn command_line(bytes: &[u8]) {
    let identity = crate::identity::Identity::of_command_line(bytes);
    for text in [&identity.name, &identity.uuid].into_iter().flatten() {
        assert!(!text.is_empty() && text.len() <= 10 * crate::identity::MAX_NAME_BYTES);
        assert!(!text.contains(pipeline::telemetry::is_control_or_format));
    }
}
