//! The mapped tables, kept for as long as their tables live.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pipeline::{Table, TableMap};

use crate::Gcp;
use crate::auth::detect::DetectedResource;
use crate::map::series::{self, CommonFields, MappedSeries};
use crate::send::descriptors::Descriptor;

/// A table, mapped to series of the API.
#[derive(Debug)]
pub(crate) struct MappedTable {
    pub(crate) common: CommonFields,
    /// One entry for each series; `None` where the API would never accept it.
    pub(crate) rows: Vec<Option<(MappedSeries, Arc<Descriptor>)>>,
    table: Weak<Table>,
}

/// Each table that is alive, mapped by the resource that was detected last.
#[derive(Debug, Default)]
pub(crate) struct MappedTables(Mutex<(Arc<DetectedResource>, TableMap<Arc<MappedTable>>)>);

impl MappedTables {
    /// The mapped table. A table is mapped when it is first exported.
    pub(crate) fn get_or_map(
        &self,
        gcp: &Gcp,
        detected: &Arc<DetectedResource>,
        table: &Arc<Table>,
    ) -> Result<Arc<MappedTable>, String> {
        let (mapped_by, tables) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(mapped_by, detected) {
            (*mapped_by, *tables) = (Arc::clone(detected), TableMap::default());
        }
        if let Some(known) = tables.get(table) {
            return Ok(Arc::clone(known));
        }
        let mapped = Arc::new(map_table(gcp, detected, table)?);
        Ok(Arc::clone(tables.get_or_insert_with(table, || mapped)))
    }
}

impl MappedTable {
    /// The API's reason, with the series in the text notation and its resource, for a message.
    pub(crate) fn describe_refusal(&self, row: usize, why: &str) -> String {
        let metric_type = match &self.rows[row] {
            Some((_, descriptor)) => &*descriptor.metric_type,
            None => "",
        };
        let table = self.table.upgrade();
        let series = table.as_ref().and_then(|it| it.series().get(row));
        let label = series.map_or_else(
            || metric_type.to_owned(),
            |it| pipeline::formats::text::identity(metric_type, &it.attributes),
        );
        let resource = &self.common.resource;
        format!(
            "{why} ({label} of {}{:?})",
            resource.r#type, resource.labels
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
    let project = gcp.config.project.clone();
    let project = project
        .or_else(|| gcp.project_of_credentials())
        .or_else(|| detected.project.clone());
    let common = series::common_fields(config, project.as_deref(), &attributes, head)?;
    let rows = table.series().iter().map(|source| {
        for (key, _) in source.attributes.iter() {
            if let Some(exported) = series::exported_key(&common, source, key) {
                let message = "the exporter sets a label that a series has too; the series' own is kept under another name";
                gcp.warnings.warn_with(message, || format!("{key} is {exported}"));
            }
        }
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
                let detail = || format!("{}: {why}", source.name);
                gcp.warnings.warn_with("series not sent", detail);
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
