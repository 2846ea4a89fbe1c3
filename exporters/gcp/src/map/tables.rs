//! The tables that were seen, each with what the API knows its series as.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pipeline::Table;

use crate::Gcp;
use crate::auth::detect::DetectedResource;
use crate::map::series::{self, CommonFields, MappedSeries};
use crate::send::descriptors::Descriptor;

/// A table, as the API knows it.
#[derive(Debug)]
pub(crate) struct MappedTable {
    pub(crate) common: CommonFields,
    /// One a series; none for those that the API would never take.
    pub(crate) rows: Vec<Option<(MappedSeries, Arc<Descriptor>)>>,
    table: Weak<Table>,
}

/// By the table's address, beside a [`Weak`], so that an address is never taken for another table.
#[derive(Debug, Default)]
pub(crate) struct MappedTables(Mutex<HashMap<usize, Arc<MappedTable>>>);

impl MappedTables {
    /// The table's series, mapped when it is first seen.
    pub(crate) fn get_or_map(
        &self,
        gcp: &Gcp,
        detected: &DetectedResource,
        table: &Arc<Table>,
    ) -> Result<Arc<MappedTable>, String> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Arc::as_ptr(table) as usize;
        if let Some(known) = tables.get(&key).filter(|it| it.table.strong_count() > 0) {
            return Ok(Arc::clone(known));
        }
        let mapped = Arc::new(map_table(gcp, detected, table)?);
        tables.retain(|_, it| it.table.strong_count() > 0);
        tables.insert(key, Arc::clone(&mapped));
        Ok(mapped)
    }
}

impl MappedTable {
    /// The series in words.
    pub(crate) fn describe_series(&self, row: usize, metric_type: &str) -> String {
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

fn map_table(
    gcp: &Gcp,
    detected: &DetectedResource,
    table: &Arc<Table>,
) -> Result<MappedTable, String> {
    let config = &gcp.config.metric;
    let head = table.head();
    let attributes = detected.merged_with(&head.resource);
    let project = gcp
        .config
        .project
        .as_deref()
        .or(detected.project.as_deref());
    let common = series::common_fields(config, project, &attributes, head)?;
    let rows = table.series().iter().map(|source| {
        let result = series::metric(config, &common, source).and_then(|metric| {
            let descriptor = gcp
                .descriptors
                .get_or_insert(&common.project, &metric, source)?;
            Ok((
                series::mapped_series(&common, head, source, &metric),
                descriptor,
            ))
        });
        result
            .map_err(|why| {
                gcp.warn_once(&(&source.name, &why), || {
                    format!("{} is not sent: {why}", source.name)
                });
            })
            .ok()
    });
    let rows = rows.collect();
    Ok(MappedTable {
        common,
        rows,
        table: Arc::downgrade(table),
    })
}
