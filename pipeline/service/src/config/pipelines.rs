//! What pipelines are made of has to be there.

use pipeline::config::{Node, NodeValue};

use super::check::Check;
use super::diagnostic::{Diagnostic, nearest};
use super::service::Service;
use super::types::type_of;

impl Check<'_> {
    /// `batch` before what rewrites series joins by names that are not those that are sent.
    fn batch_comes_last(&mut self, processors: &[String], at: Option<&Node>, base: &[&str]) {
        let batch = processors.iter().position(|id| type_of(id) == "batch");
        let Some(batch) = batch else { return };
        let later = processors[batch..].iter();
        let rewrites = |id: &&String| matches!(type_of(id), "labels" | "metadata");
        if let Some(later) = later.rev().find(rewrites) {
            let list = at.and_then(|it| it.get("processors"));
            let item = list.and_then(|it| it.at(&[batch.to_string()]));
            let text = format!("`{}` stands before `{later}`", processors[batch]);
            let warning =
                Diagnostic::warning(text).at_value(item.and_then(|it| it.origin.as_ref()));
            let help = "`batch` belongs to the end: what is behind it takes its requests apart or drops from them";
            self.diagnostics.push(
                warning
                    .path(&[base, &["processors", &batch.to_string()]].concat())
                    .help(help),
            );
        }
    }

    /// What pipelines name has to be there.
    pub(super) fn pipelines(&mut self, service: &Service) {
        let node = self.node.at(&["service".into(), "pipelines".into()]);
        if service.pipelines.is_empty() {
            let none = Diagnostic::error("there is no pipeline")
                .help("`metrics: {receivers: […], processors: […], exporters: […]}`");
            self.diagnostics.push(
                none.at_key(node.and_then(|it| it.origin.as_ref()))
                    .path(&["service", "pipelines"]),
            );
        }
        for (name, pipeline) in &service.pipelines {
            let at = node.and_then(|it| it.get(name));
            let base = ["service", "pipelines", name];
            if type_of(name) != "metrics" {
                let signal =
                    Diagnostic::error(format!("`{name}`: this program carries metrics only"))
                        .help("`metrics` or `metrics/<name>`");
                self.diagnostics.push(
                    signal
                        .at_key(at.and_then(|it| it.origin.as_ref()))
                        .path(&base),
                );
            }
            self.batch_comes_last(&pipeline.processors, at, &base);
            for (section, ids) in [
                ("receivers", &pipeline.receivers),
                ("processors", &pipeline.processors),
                ("exporters", &pipeline.exporters),
            ] {
                let list = at.and_then(|it| it.get(section));
                // What is no list has been told as that.
                let is_list =
                    list.is_none_or(|it| matches!(it.tree, NodeValue::List(_) | NodeValue::Null));
                if ids.is_empty() && is_list && section != "processors" {
                    let none = Diagnostic::error(format!(
                        "the pipeline `{name}` has no {}",
                        section.trim_end_matches('s')
                    ));
                    self.diagnostics.push(
                        none.at_key(list.or(at).and_then(|it| it.origin.as_ref()))
                            .path(&base),
                    );
                }
                let who = format!("the pipeline `{name}`");
                self.listed(
                    section,
                    ids,
                    list,
                    &[base.as_slice(), &[section]].concat(),
                    &who,
                );
            }
        }
    }

    /// What `service.extensions` names has to be there.
    pub(super) fn extensions(&mut self, service: &Service) {
        let path = ["service", "extensions"];
        let list = self.node.at(&path.map(String::from));
        let who = "`service.extensions`";
        self.listed("extensions", &service.extensions, list, &path, who);
    }

    /// What a list of ids names has to be there, once.
    fn listed(
        &mut self,
        section: &str,
        ids: &[String],
        list: Option<&Node>,
        path: &[&str],
        who: &str,
    ) {
        for (index, id) in ids.iter().enumerate() {
            let number = index.to_string();
            let item = list.and_then(|list| list.at(std::slice::from_ref(&number)));
            let origin = item.and_then(|it| it.origin.as_ref());
            let path = [path, &[&number]].concat();
            if ids[..index].contains(id) {
                let twice = Diagnostic::error(format!("`{id}` stands twice in this list"));
                self.diagnostics.push(twice.at_value(origin).path(&path));
            }
            if self.node.get(section).and_then(|it| it.get(id)).is_none() {
                let defined = self.section(section).into_iter();
                let defined: Vec<_> = defined.map(|(id, _)| id).collect();
                let near = if defined.is_empty() {
                    format!("nothing is defined below `{section}`")
                } else {
                    nearest(id, &defined)
                };
                let undefined = Diagnostic::error(format!(
                    "{who} names `{id}`, which `{section}` does not define"
                ));
                let help = near.replace("allowed:", "defined:");
                let undefined = undefined.at_value(origin).path(&path);
                self.diagnostics.push(undefined.help(help));
            }
        }
    }
}
