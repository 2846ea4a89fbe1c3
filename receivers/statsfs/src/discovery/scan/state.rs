//! What the scanning threads share: the tree, and the scan that is under way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline::telemetry::FoundTree;
use pipeline::{Context, Demand, now_unix_nano};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::{OpenRoot, ScanEvent, ScanReport, ScanRequest, ScannedTree};
use crate::discovery::demand::DemandCache;
use crate::discovery::mount::{boot, display_path, filesystem_of, find_root};
use crate::discovery::tree::{Boot, Tree, Visit, Visited};
use crate::failure_log::FailureLog;
use crate::plan::Plan;
use crate::root::Root;

/// The tree, and the scan that is under way.
pub(super) struct ScanState {
    root: String,
    /// Where the root was found.
    path: PathBuf,
    pub(super) plan: Arc<Plan>,
    demand: Arc<DemandCache>,
    context: Context,
    pub(super) failure_log: FailureLog,
    tree: Option<Tree>,
    boot: Boot,
    /// Why the root could not be opened.
    open_error: Option<String>,
    /// The request of the scan that is under way.
    request: Option<ScanRequest>,
    cpu: Duration,
    events: mpsc::Sender<ScanEvent>,
}

impl ScanState {
    pub(super) fn new(
        root: String,
        plan: Arc<Plan>,
        demand: Demand,
        context: Context,
        failure_log: FailureLog,
        events: mpsc::Sender<ScanEvent>,
    ) -> ScanState {
        let demand = DemandCache::new(demand, context.clone(), plan.inspects);
        ScanState {
            path: PathBuf::from(&root),
            root,
            plan,
            demand: Arc::new(demand),
            boot: boot(&context),
            context,
            failure_log,
            tree: None,
            open_error: None,
            request: None,
            cpu: Duration::ZERO,
            events,
        }
    }

    /// Whether nobody waits for scans any more.
    pub(super) fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    /// Whether a scan is under way.
    pub(super) fn is_scanning(&self) -> bool {
        self.request.is_some()
    }

    /// The root's path as messages show it.
    pub(super) fn root_path(&self) -> Arc<str> {
        display_path(&self.path).into()
    }

    /// Asks, without the tree, whether the root is still the directory that was opened.
    pub(super) fn root_check(&self) -> Option<impl FnOnce() -> bool + use<>> {
        let identity = self.tree.as_ref()?.root().identity();
        let path = self.path.clone();
        let is_same = move || {
            rustix::fs::stat(&path).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == identity)
        };
        Some(is_same)
    }

    /// The root is gone or was replaced.
    pub(super) fn lose_root(&mut self) {
        let message = "the root has gone or was replaced; its series end";
        let warnings = self.failure_log.warnings();
        warnings.warn_again(message, &display_path(&self.path));
        self.tree = None;
        self.send(ScanEvent::RootGone);
    }

    /// Looks for the root, if it is missing, without the tree.
    pub(super) fn root_search(&self) -> Option<impl FnOnce() -> RootSearch + use<>> {
        let (root, context, plan) = (
            self.root.clone(),
            self.context.clone(),
            Arc::clone(&self.plan),
        );
        let search = move || {
            let path = find_root(&root, &context)?;
            match Root::open(&path, plan.followed_links(&context)) {
                Ok(root) => {
                    let filesystem = filesystem_of(root.identity().0, &path, &context);
                    Ok((path, root, filesystem.into()))
                }
                Err(Errno::NOENT) if path == Path::new(&root) => Err("no such directory".to_owned()),
                Err(Errno::NOENT) => Err(format!("no such directory: {}", display_path(&path))),
                Err(Errno::ACCESS) => Err("permission denied: it takes root, CAP_DAC_READ_SEARCH, or a mount with mode=0755".to_owned()),
                Err(errno) => Err(errno.to_string()),
            }
        };
        self.tree.is_none().then_some(search)
    }

    /// The root was found, or not.
    pub(super) fn set_root(&mut self, found: RootSearch) {
        let (path, root, filesystem) = match found {
            Ok(found) => found,
            Err(error) => {
                self.open_error = Some(error);
                return;
            }
        };
        if self.open_error.take().is_some() {
            tracing::info!(
                component = &*self.context.id,
                root = display_path(&path),
                "the root is there now; sweeping it"
            );
        }
        let (demand, events) = (Arc::clone(&self.demand), self.events.clone());
        let sink = Box::new(move |changes| {
            let _ = events.blocking_send(ScanEvent::Changes(Box::new(demand.demanded(changes))));
        });
        self.path.clone_from(&path);
        let tree = Tree::new(
            Arc::clone(&self.plan),
            (path, root),
            filesystem,
            self.boot,
            self.context.clone(),
            self.failure_log.clone(),
            sink,
        );
        self.send(ScanEvent::RootOpened(OpenRoot {
            root: Arc::clone(tree.root()),
            filesystem: Arc::clone(&tree.filesystem),
        }));
        self.tree = Some(tree);
    }

    /// Begins a scan. `is_new`: the tree is not that of the last one.
    pub(super) fn begin(&mut self, mut request: ScanRequest, is_new: bool) {
        if let Some(tree) = &mut self.tree {
            tree.last_scan = request.unchanged_at.unwrap_or(tree.last_scan);
            let refused = std::mem::take(&mut request.refused);
            for (directory, file) in refused.into_iter().filter(|_| !is_new) {
                if let Some(discovered) = tree.discovered_file(directory, &file) {
                    tree.add_file(directory, discovered);
                }
            }
            tree.begin_scan(request.full, now_unix_nano());
        }
        self.request = Some(request);
    }

    /// What to look at next.
    pub(super) fn next_visit(&mut self) -> Option<Visit> {
        self.tree.as_mut()?.next_visit()
    }

    /// The tree of a visit, unless it has gone since.
    pub(super) fn tree_of(&mut self, visit: &Visit) -> Option<&mut Tree> {
        self.tree.as_mut().filter(|tree| tree.is_own(visit))
    }

    /// A visit is over: its tree is updated, if it has not gone since.
    pub(super) fn apply(&mut self, visit: Visit, visited: Visited) {
        let budget = self.context.watch_budget.clone();
        match self.tree_of(&visit) {
            Some(tree) => tree.apply(visit, visited),
            None => visit.return_watch(&budget),
        }
    }

    /// Hands over what was found so far.
    pub(super) fn flush(&mut self) {
        if let Some(tree) = &mut self.tree {
            tree.flush();
        }
    }

    /// A thread has spent so much on the scan that is under way, or on none.
    pub(super) fn add_cpu(&mut self, cpu: Duration) {
        self.cpu += cpu;
    }

    /// The scan that is under way is over.
    pub(super) fn finish(&mut self) {
        let Some(request) = self.request.take() else {
            return;
        };
        let tree = match &mut self.tree {
            Some(tree) => {
                tree.finish_scan();
                Ok(ScannedTree {
                    path: self.path.clone(),
                    filesystem: Arc::clone(&tree.filesystem),
                    directories: tree.len(),
                    change_probe: tree.change_probe().cloned(),
                    found: if request.full {
                        tree.found()
                    } else {
                        FoundTree::default()
                    },
                    why_nothing: if request.full {
                        tree.why_nothing()
                    } else {
                        String::new()
                    },
                })
            }
            None => Err(self
                .open_error
                .clone()
                .unwrap_or_else(|| "not found".into())),
        };
        let cpu = std::mem::take(&mut self.cpu);
        self.send(ScanEvent::Finished(Box::new(ScanReport { tree, cpu })));
    }

    fn send(&self, event: ScanEvent) {
        // This fails only when the receiver is dropped: then the threads end as well.
        let _ = self.events.blocking_send(event);
    }
}

/// The root with its path and file system, or why it cannot be opened.
pub(super) type RootSearch = Result<(PathBuf, Root, Arc<str>), String>;
