//! Components are built one by one; what is wrong, and what they remark, is gathered.

use std::collections::BTreeMap;

use pipeline::config::Node;
use pipeline::{Context, Remark, Scope};

use crate::config::{ConfiguredComponent, Diagnostic, near_subsystem};
use crate::sandbox::ComponentNeeds;

/// Builds components.
pub(crate) struct Builder<'a> {
    context: &'a Context,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// By section and id.
    remarks: BTreeMap<(&'static str, String), Remarked>,
    /// What each has said that it needs.
    pub(crate) needs: Vec<ComponentNeeds>,
}

/// What a component has remarked, its configuration, and where that stands.
struct Remarked {
    node: Node,
    base: Vec<String>,
    remarks: Vec<Remark>,
}

impl Builder<'_> {
    /// Of nothing yet.
    pub(crate) fn new<'a>(
        context: &'a Context,
        diagnostics: &'a mut Vec<Diagnostic>,
    ) -> Builder<'a> {
        Builder {
            context,
            diagnostics,
            remarks: BTreeMap::new(),
            needs: Vec::new(),
        }
    }

    /// Builds one; why it cannot be is a diagnostic.
    pub(crate) fn build<T>(
        &mut self,
        component: ConfiguredComponent<T>,
        section: &'static str,
        id: &str,
    ) -> Option<T> {
        let registration = component.registration;
        let scope = Scope::new(registration.crate_name, registration.version);
        let context = self.context.of(id, scope);
        let (node, base) = (component.node, component.path);
        let built = (component.build)(&context);
        let remarks = context.remarks();
        for remark in &remarks {
            if let Remark::Odd {
                path,
                message,
                help,
            } = remark
            {
                let warning = Diagnostic::warning(message).help(help);
                self.report(at(warning, &node, &base, path));
            }
        }
        if let Err(error) = &built {
            let diagnostic = Diagnostic::error(error.to_string());
            let diagnostic = at(diagnostic, &node, &base, error.path());
            // What could not be substituted is nothing that can be built with either: said once.
            let is_said = |it: &Diagnostic| {
                it.is_error && it.path == diagnostic.path && it.place == diagnostic.place
            };
            if !self.diagnostics.iter().any(is_said) {
                self.diagnostics.push(diagnostic);
            }
        }
        let remarked = Remarked {
            node,
            base,
            remarks,
        };
        self.remarks.insert((section, id.into()), remarked);
        self.needs.push(ComponentNeeds {
            id: id.into(),
            needs: context.said_needs(),
            is_processor: section == "processors",
        });
        built.ok()
    }

    /// Warns where a pipeline's receivers call a subsystem otherwise than its processors, which know it.
    pub(crate) fn compare_subsystems(&mut self, receivers: &[String], processors: &[String]) {
        let mut warnings = Vec::new();
        for (processor, _, known) in self.of("processors", processors) {
            let Remark::KnownSubsystems(known) = known else {
                continue;
            };
            for (_, Remarked { node, base, .. }, remark) in self.of("receivers", receivers) {
                if let Remark::Subsystem { path, name, root } = remark
                    && let Some(near) = near_subsystem(name, root, known)
                {
                    let text = format!("`{processor}` knows no subsystem `{name}`");
                    let help = format!(
                        "it knows `{near}`; a tree of your own may be called as you like, and `rules` say what it has"
                    );
                    let warning = Diagnostic::warning(text).help(help);
                    warnings.push(at(warning, node, base, path));
                }
            }
        }
        warnings.into_iter().for_each(|it| self.report(it));
    }

    /// What those components have remarked.
    fn of<'a>(
        &'a self,
        section: &'static str,
        ids: &'a [String],
    ) -> impl Iterator<Item = (&'a String, &'a Remarked, &'a Remark)> {
        let known = ids.iter().filter_map(move |id| {
            let of_it = self.remarks.get(&(section, id.clone()))?;
            let remarks = of_it.remarks.iter();
            Some(remarks.map(move |remark| (id, of_it, remark)))
        });
        known.flatten()
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        // One that stands in several pipelines is built for each.
        if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }
}

/// A diagnostic about what stands at this path below a component, or the nearest above that was written.
fn at(diagnostic: Diagnostic, node: &Node, component: &[String], path: &str) -> Diagnostic {
    let below = path.split('.').filter(|it| !it.is_empty());
    let below: Vec<String> = below.map(String::from).collect();
    let origin = (0..=below.len())
        .rev()
        .find_map(|depth| node.at(&below[..depth])?.origin.clone());
    let diagnostic = diagnostic.path(&[component, &below].concat());
    if below.is_empty() {
        diagnostic.at_key(node.origin.as_ref())
    } else {
        diagnostic.at_value(origin.as_ref())
    }
}
