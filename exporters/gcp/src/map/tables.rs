//! The tables that were seen, each with what the API knows its series as.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pipeline::Table;

use crate::Gcp;
use crate::auth::detect::DetectedResource;
use crate::map::mapping::{self, Common, Row};
use crate::send::descriptors::Descriptor;

/// A table, as the API knows it.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) common: Common,
    /// One a series; none for those that the API would never take.
    pub(crate) rows: Vec<Option<(Row, Arc<Descriptor>)>>,
    table: Weak<Table>,
}

/// By the table's address, beside a [`Weak`], so that an address is never taken for another table.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<HashMap<usize, Arc<Mapped>>>);

impl Tables {
    /// The table's series, mapped when it is first seen.
    pub(crate) fn of(
        &self,
        gcp: &Gcp,
        detected: &DetectedResource,
        table: &Arc<Table>,
    ) -> Result<Arc<Mapped>, String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Arc::as_ptr(table) as usize;
        if let Some(known) = all.get(&key).filter(|it| it.table.strong_count() > 0) {
            return Ok(Arc::clone(known));
        }
        let mapped = Arc::new(map(gcp, detected, table)?);
        all.retain(|_, it| it.table.strong_count() > 0);
        all.insert(key, Arc::clone(&mapped));
        Ok(mapped)
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
            |it| pipeline::text::identity(metric_type, &it.attributes),
        )
    }
}

fn map(gcp: &Gcp, detected: &DetectedResource, table: &Arc<Table>) -> Result<Mapped, String> {
    let config = &gcp.config.metric;
    let head = table.head();
    let attributes = detected.merged_with(&head.resource);
    let project = gcp
        .config
        .project
        .as_deref()
        .or(detected.project.as_deref());
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
