//! Descriptors: created, listed by pages, and got, by the rules of the API.

use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{
    ListMetricDescriptorsRequest, ListMetricDescriptorsResponse,
};
use tonic::Status;

use crate::FakeState;

const SECOND: u64 = 1_000_000_000;
/// The page size where none is asked for, and the largest.
const MAX_PAGE: usize = 10_000;

impl FakeState {
    pub(crate) fn create_descriptor(
        &mut self,
        descriptor: MetricDescriptor,
    ) -> Result<MetricDescriptor, Status> {
        self.check_quota()?;
        if let Some(status) = &self.descriptor_error {
            return Err(status.clone());
        }
        if let Some(existing) = self.descriptors.get(&descriptor.r#type)
            && (existing.metric_kind, existing.value_type)
                != (descriptor.metric_kind, descriptor.value_type)
        {
            return Err(Status::invalid_argument(format!(
                "Field metricDescriptor.metricKind had an invalid value of \"{}\": When creating metric {}: the metric already exists with another kind or type.",
                descriptor.metric_kind().as_str_name(),
                descriptor.r#type
            )));
        }
        self.created_descriptors.push(descriptor.clone());
        let key = descriptor.r#type.clone();
        self.descriptors.insert(key, descriptor.clone());
        Ok(descriptor)
    }

    /// A call beyond the quota counts against it too.
    fn check_quota(&mut self) -> Result<(), Status> {
        let Some(limit) = self.descriptors_per_second else {
            return Ok(());
        };
        let now = (self.now)();
        let recent = &mut self.recent_creations;
        while recent.front().is_some_and(|it| it + SECOND <= now) {
            recent.pop_front();
        }
        recent.push_back(now);
        if recent.len() > limit {
            let quota = "Quota exceeded for quota metric 'Metric descriptor write requests'";
            return Err(Status::resource_exhausted(quota));
        }
        Ok(())
    }

    /// A page of the descriptors that match the filter. Of filters the fake knows one:
    /// `metric.type = starts_with("…")` ([filters](https://cloud.google.com/monitoring/api/v3/filters#metric-descriptor-filter)).
    pub(crate) fn list_descriptors(
        &mut self,
        request: &ListMetricDescriptorsRequest,
    ) -> Result<ListMetricDescriptorsResponse, Status> {
        if let Some(status) = &self.list_error {
            return Err(status.clone());
        }
        let filter = &request.filter;
        let prefix = filter
            .strip_prefix("metric.type = starts_with(\"")
            .and_then(|it| it.strip_suffix("\")"))
            .filter(|it| !it.contains('"'));
        let Some(prefix) = prefix else {
            let why = format!("Field filter had an invalid value of \"{filter}\".");
            self.violations.push(why.clone());
            return Err(Status::invalid_argument(why));
        };
        let size = match usize::try_from(request.page_size).unwrap_or_default() {
            0 => MAX_PAGE,
            size => size.min(MAX_PAGE),
        };
        let skip = match &*request.page_token {
            "" => 0,
            token => token.parse().map_err(|_| {
                Status::invalid_argument(format!(
                    "Field page_token had an invalid value of \"{token}\"."
                ))
            })?,
        };
        let matching = || {
            let all = self.descriptors.values();
            all.filter(|it| it.r#type.starts_with(prefix)).skip(skip)
        };
        let has_more = matching().count() > size;
        let next = (skip + size).to_string();
        Ok(ListMetricDescriptorsResponse {
            metric_descriptors: matching().take(size).cloned().collect(),
            next_page_token: if has_more { next } else { String::new() },
        })
    }
}
