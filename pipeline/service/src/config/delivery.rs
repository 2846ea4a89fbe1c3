//! Queue, retry and time-out: what stands in an exporter's map and is not the exporter's own.

use pipeline::config::{DELIVERY_KEYS, Node};

use super::check::Check;
use super::diagnostic::{Diagnostic, nearest};
use super::retry::RetryOnFailure;
use super::sending_queue::SendingQueue;
use super::service::DeliveryConfig;
use super::types::type_of;

/// The type of the extension that keeps queues on disk.
const STORAGE: &str = "file_storage";

impl Check<'_> {
    /// Takes queue, retry and time-out out of an exporter's map.
    pub(super) fn delivery_config(
        &mut self,
        id: &str,
        node: &mut Node,
        mut delivery: pipeline::Delivery,
    ) -> DeliveryConfig {
        let [timeout, queue_node, retry_node] = DELIVERY_KEYS.map(|key| node.take(key));
        let [timeout_key, queue_key, retry_key] = DELIVERY_KEYS;
        if let Some(node) = timeout
            && let Some(timeout) =
                self.decode::<pipeline::config::Duration>(&node, &["exporters", id, timeout_key])
        {
            delivery.timeout = timeout.0;
        }
        let queue: Option<SendingQueue> = queue_node
            .as_ref()
            .and_then(|node| self.decode(node, &["exporters", id, queue_key]));
        let retry: Option<RetryOnFailure> = retry_node.as_ref().map_or_else(
            || Some(RetryOnFailure::of(&delivery)),
            |node| self.decode(node, &["exporters", id, retry_key]),
        );
        let (queue, retry) = (queue.unwrap_or_default(), retry.unwrap_or_default());
        for (path, why) in queue.mistakes() {
            self.mistake(
                queue_node.as_ref(),
                &["exporters", id, queue_key],
                path,
                why,
            );
        }
        for (key, why) in retry.mistakes() {
            self.mistake(
                retry_node.as_ref(),
                &["exporters", id, retry_key],
                &[key],
                why,
            );
        }
        if let Some(storage) = &queue.storage {
            self.storage(queue_node.as_ref(), id, storage);
        }
        if let Some(consumers) = queue.num_consumers {
            delivery.num_consumers = consumers.get();
        }
        DeliveryConfig {
            overflow: queue.overflow(&delivery),
            delivery,
            queue,
            retry,
        }
    }

    /// A key below one of these maps that cannot be as it is.
    fn mistake(&mut self, node: Option<&Node>, base: &[&str], path: &[&str], why: &str) {
        let key = path.last().copied().unwrap_or_default();
        let below: Vec<String> = path.iter().map(|it| (*it).to_owned()).collect();
        let written = (0..=below.len())
            .rev()
            .find_map(|depth| node?.at(&below[..depth]));
        let diagnostic = Diagnostic::error(format!("`{key}` {why}"))
            .at_value(written.and_then(|it| it.origin.as_ref()));
        self.diagnostics
            .push(diagnostic.path(&[base, path].concat()));
    }

    /// The extension that a queue is to be kept by has to be there.
    fn storage(&mut self, node: Option<&Node>, id: &str, storage: &str) {
        let extensions = ["service", "extensions"].map(String::from);
        let starts = self
            .node
            .at(&extensions)
            .and_then(|it| pipeline::config::attempt::<Vec<String>>(it).0)
            .is_some_and(|it| it.value.iter().any(|it| it == storage));
        let section = self.node.get("extensions");
        let (text, help) = if section.and_then(|it| it.get(storage)).is_none() {
            let defined = self.section("extensions").into_iter();
            let defined: Vec<String> = defined.map(|(id, _)| id).collect();
            let near = if defined.is_empty() {
                "nothing is defined below `extensions`".into()
            } else {
                nearest(storage, &defined).replace("allowed:", "defined:")
            };
            ("which `extensions` does not define", near)
        } else if type_of(storage) != STORAGE {
            ("which keeps no queue", format!("`{STORAGE}` does"))
        } else if !starts {
            let help = "name it there too, so that it starts".to_owned();
            ("which `service.extensions` does not name", help)
        } else {
            return;
        };
        let origin = node.and_then(|it| it.get("storage")?.origin.as_ref());
        let diagnostic = Diagnostic::error(format!("`{id}` names `{storage}`, {text}"));
        let path = ["exporters", id, "sending_queue", "storage"];
        self.diagnostics
            .push(diagnostic.at_value(origin).path(&path).help(help));
    }
}
