//! Queue, retry and time-out: what stands in an exporter's map and is not the exporter's own.

use pipeline::config::{DELIVERY_KEYS, Node};

use super::check::Check;
use super::diagnostic::Diagnostic;
use super::service::{DeliveryConfig, RetryOnFailure, SendingQueue};

impl Check<'_> {
    /// Takes queue, retry and time-out out of an exporter's map.
    pub(super) fn delivery_config(
        &mut self,
        id: &str,
        node: &mut Node,
        mut delivery: pipeline::Delivery,
    ) -> DeliveryConfig {
        let [timeout, queue, retry] =
            DELIVERY_KEYS.map(|key| node.take(key).map(|node| (key, node)));
        if let Some((key, node)) = timeout
            && let Some(timeout) =
                self.decode::<pipeline::config::Duration>(&node, &["exporters", id, key])
        {
            delivery.timeout = timeout.0;
        }
        let queue: Option<SendingQueue> = queue.map_or_else(
            || Some(SendingQueue::default()),
            |(key, node)| self.decode(&node, &["exporters", id, key]),
        );
        let retry_node = retry.as_ref().map(|(_, node)| node.clone());
        let retry: Option<RetryOnFailure> = retry.map_or_else(
            || Some(RetryOnFailure::of(&delivery)),
            |(key, node)| self.decode(&node, &["exporters", id, key]),
        );
        let (queue, retry) = (queue.unwrap_or_default(), retry.unwrap_or_default());
        for (key, why) in retry.mistakes() {
            let at = retry_node
                .as_ref()
                .map(|node| node.get(key).unwrap_or(node));
            let diagnostic = Diagnostic::error(format!("`{key}` {why}"))
                .at_value(at.and_then(|at| at.origin.as_ref()));
            self.diagnostics
                .push(diagnostic.path(&["exporters", id, "retry_on_failure", key]));
        }
        if let Some(consumers) = queue.num_consumers {
            delivery.num_consumers = consumers.get();
        }
        delivery.block_on_overflow = queue
            .block_on_overflow
            .unwrap_or(delivery.block_on_overflow);
        DeliveryConfig {
            delivery,
            queue,
            retry,
        }
    }
}
