//! The scanner: a thread that finds the tree and scans it for changes. Listing can block for ever, as reading can.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline::{Context, Demand, now_unix_nano};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::demand::{DemandCache, DemandedChanges};
use super::inotify::ChangeProbe;
use super::mount::{boot_unix_nano, display_path, filesystem_of, find_root};
use super::tree::{ScanTimes, Tree};
use crate::directory_id::DirectoryId;
use crate::failure_log::FailureLog;
use crate::plan::Plan;
use crate::read::cpu_time;

/// A request for a scan.
#[derive(Debug)]
pub(crate) struct ScanRequest {
    /// Scans the whole tree, and looks for the root if it is missing; else only handles inotify events and polled directories.
    pub(crate) full: bool,
    /// Files that were refused by `limits.series`, to be offered again.
    pub(crate) refused: BTreeSet<(DirectoryId, Arc<CString>)>,
    /// When the last sweep ended, unix ns.
    pub(crate) last_sweep_end: u64,
    /// When the kernel last told that nothing had changed since the last scan, unix ns.
    pub(crate) unchanged_at: Option<u64>,
}

/// The events of a scan, in this order.
#[derive(Debug)]
pub(crate) enum ScanEvent {
    /// The root is gone or was replaced: every series ends.
    RootGone,
    /// Files that were removed, changed and added.
    Changes(DemandedChanges),
    /// The scan is over.
    Finished(ScanReport),
}

/// The result of a scan.
#[derive(Debug)]
pub(crate) struct ScanReport {
    /// The root, or why it cannot be opened.
    pub(crate) tree: Result<OpenRoot, String>,
    /// CPU time of the scan.
    pub(crate) cpu: Duration,
}

/// A root that is open, and what is known of its tree.
#[derive(Debug)]
pub(crate) struct OpenRoot {
    pub(crate) root: Arc<OwnedFd>,
    pub(crate) path: PathBuf,
    pub(crate) filesystem: Arc<str>,
    pub(crate) directories: usize,
    /// Why there is nothing to sweep; for a full scan only.
    pub(crate) why_nothing: String,
    /// Tells that a scan would find nothing.
    pub(crate) change_probe: Option<Arc<ChangeProbe>>,
}

/// The state of the scanning thread.
pub(crate) struct Scanner {
    root: String,
    /// Where the root was found.
    path: PathBuf,
    plan: Arc<Plan>,
    demand: Arc<DemandCache>,
    context: Context,
    failure_log: FailureLog,
    tree: Option<Tree>,
    boot_time: u64,
    /// When the root was last found missing, or last swept before it was gone; unix ns, 0 for never.
    absent_at: u64,
    /// Why the root could not be opened.
    open_error: Option<String>,
    current_directory: Arc<Mutex<String>>,
    events: mpsc::Sender<ScanEvent>,
}

impl Scanner {
    /// Scans nothing yet. `current_directory` is always the directory that is being listed.
    pub(crate) fn new(
        root: String,
        plan: Arc<Plan>,
        demand: Demand,
        context: Context,
        failure_log: FailureLog,
        current_directory: Arc<Mutex<String>>,
        events: mpsc::Sender<ScanEvent>,
    ) -> Scanner {
        let demand = DemandCache::new(demand, context.clone());
        Scanner {
            root,
            path: PathBuf::new(),
            plan,
            demand: Arc::new(demand),
            boot_time: boot_unix_nano(&context),
            context,
            failure_log,
            tree: None,
            absent_at: 0,
            open_error: None,
            current_directory,
            events,
        }
    }

    /// Starts the thread; it ends when the sender of requests is dropped.
    pub(crate) fn spawn(
        mut self,
        requests: std::sync::mpsc::Receiver<ScanRequest>,
    ) -> io::Result<()> {
        let run = move || requests.into_iter().for_each(|request| self.scan(request));
        let thread = std::thread::Builder::new().name("statsfs-scan".into());
        thread.spawn(run).map(drop)
    }

    fn scan(&mut self, request: ScanRequest) {
        let cpu = cpu_time();
        let lost_tree = self.tree.take_if(|tree| !tree.is_root_unchanged());
        if lost_tree.is_some() {
            let message = "the root has gone or was replaced; its series end";
            let warnings = self.failure_log.warnings();
            warnings.warn_again(message, &display_path(&self.path));
            self.absent_at = request.last_sweep_end;
            // This fails only when the receiver is dropped: then the thread ends as well.
            let _ = self.events.blocking_send(ScanEvent::RootGone);
        }
        let full = request.full || lost_tree.is_some();
        if full && self.tree.is_none() {
            self.open();
        }
        if let Some(tree) = &mut self.tree {
            tree.last_sweep_end = request.last_sweep_end;
            tree.last_scan = request.unchanged_at.unwrap_or(tree.last_scan);
            if lost_tree.is_none() {
                for (directory, file) in request.refused {
                    if let Some(discovered) =
                        tree.discovered_file(directory, &file, &self.failure_log)
                    {
                        tree.add_file(directory, discovered);
                    }
                }
            }
            let now = now_unix_nano();
            tree.scan(
                full,
                ScanTimes {
                    boot: self.boot_time,
                    now,
                },
                &self.failure_log,
            );
        }
        let tree = match &self.tree {
            Some(tree) => Ok(OpenRoot {
                root: Arc::clone(tree.root()),
                path: self.path.clone(),
                filesystem: Arc::clone(&tree.filesystem),
                directories: tree.len(),
                change_probe: tree.change_probe().cloned(),
                why_nothing: if full {
                    tree.why_nothing()
                } else {
                    String::new()
                },
            }),
            None => Err(self
                .open_error
                .clone()
                .unwrap_or_else(|| "not found".into())),
        };
        let cpu = cpu_time().saturating_sub(cpu);
        let _ = self
            .events
            .blocking_send(ScanEvent::Finished(ScanReport { tree, cpu }));
    }

    fn open(&mut self) {
        let open_result = find_root(&self.root, &self.context).and_then(|path| {
            let filesystem = |device| filesystem_of(device, &self.context);
            let (demand, events) = (Arc::clone(&self.demand), self.events.clone());
            let sink = Box::new(move |changes| {
                let _ = events.blocking_send(ScanEvent::Changes(demand.demanded(changes)));
            });
            let plan = Arc::clone(&self.plan);
            let current_directory = Arc::clone(&self.current_directory);
            let times = (self.boot_time, self.absent_at);
            let descriptors = self.context.fd_budget.clone();
            let root_path = path.clone();
            let tree = Tree::open(plan, root_path, filesystem, times, current_directory, descriptors, sink);
            let tree = tree.map_err(|errno| match errno {
                Errno::NOENT => "no such directory".to_owned(),
                Errno::ACCESS => "permission denied: it takes root, CAP_DAC_READ_SEARCH, or a mount with mode=0755".to_owned(),
                errno => errno.to_string(),
            });
            tree.map(|tree| (path, tree))
        });
        match open_result {
            Ok((path, tree)) => {
                if self.open_error.take().is_some() {
                    tracing::info!(
                        component = &*self.context.id,
                        root = display_path(&path),
                        "the root is there now; sweeping it"
                    );
                }
                self.path = path;
                self.tree = Some(tree);
            }
            Err(error) => {
                self.open_error = Some(error);
                self.absent_at = now_unix_nano();
            }
        }
    }
}
