//! The tables that were seen, each with what the API knows its series as.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pipeline::{Table, TableMap};

use crate::Gcp;
use crate::descriptors::Descriptor;
use crate::detect::Found;
use crate::mapping::{self, Common, Row};

/// A table, as the API knows it.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) common: Common,
    /// One a series; none for those that the API would never take.
    pub(crate) rows: Vec<Option<(Row, Arc<Descriptor>)>>,
    table: Weak<Table>,
}

/// Each table's series, as the API knows them.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<TableMap<Arc<Mapped>>>);

impl Tables {
    /// The table's series, mapped when it is first seen.
    pub(crate) fn of(
        &self,
        gcp: &Gcp,
        found: &Found,
        table: &Arc<Table>,
    ) -> Result<Arc<Mapped>, String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(table) {
            return Ok(Arc::clone(known));
        }
        let mapped = Arc::new(map(gcp, found, table)?);
        Ok(Arc::clone(all.get_or_insert_with(table, || mapped)))
    }
}

impl Mapped {
    /// The series in words.
    pub(crate) fn label(&self, row: usize, metric_type: &str) -> String {
        let series = self
            .table
            .upgrade()
            .and_then(|it| it.series().get(row).cloned());
        series.map_or_else(
            || metric_type.to_owned(),
            |it| pipeline::formats::text::identity(metric_type, &it.attributes),
        )
    }
}

fn map(gcp: &Gcp, found: &Found, table: &Arc<Table>) -> Result<Mapped, String> {
    let config = &gcp.config.metric;
    let head = table.head();
    let attributes = found.over(&head.resource);
    let project = gcp.config.project.as_deref().or(found.project.as_deref());
    let common = mapping::common(config, project, &attributes, head)?;
    let rows = table.series().iter().map(|series| {
        let made = mapping::metric(config, &common, series).and_then(|metric| {
            let descriptor = gcp.descriptors.of(&common.project, &metric, series)?;
            Ok((mapping::row(&common, head, series, &metric), descriptor))
        });
        made.map_err(|why| {
            gcp.say(&(&series.name, &why), || {
                format!("{} is not sent: {why}", series.name)
            });
        })
        .ok()
    });
    let rows = rows.collect();
    Ok(Mapped {
        common,
        rows,
        table: Arc::downgrade(table),
    })
}
