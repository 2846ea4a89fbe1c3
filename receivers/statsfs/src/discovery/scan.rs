//! The thread that finds the tree and looks for changes in it: listing can block as reading can.

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
use crate::plan::Plan;
use crate::read::cpu_time;
use crate::warnings::Warnings;

/// A check that is asked for.
#[derive(Debug)]
pub(crate) struct ScanRequest {
    /// All of the tree, and the root where it is not there yet; else only what the kernel told of.
    pub(crate) full: bool,
    /// Files that were too many, to be offered again.
    pub(crate) refused: BTreeSet<(DirectoryId, Arc<CString>)>,
    /// When the last sweep ended, unix ns.
    pub(crate) last_sweep_end: u64,
    /// When the kernel last told that nothing had changed, if it did since the last check; unix ns.
    pub(crate) unchanged_at: Option<u64>,
}

/// What a check tells, in this order.
#[derive(Debug)]
pub(crate) enum ScanEvent {
    /// The root has gone or was replaced: every series ends.
    RootGone,
    /// What ended, changed and began.
    Changes(DemandedChanges),
    /// The check is over.
    Finished(ScanReport),
}

/// The tree after a check.
#[derive(Debug)]
pub(crate) struct ScanReport {
    /// What is there, or why nothing is.
    pub(crate) tree: Result<OpenRoot, String>,
    /// CPU time of the check.
    pub(crate) cpu: Duration,
}

/// A tree that is there.
#[derive(Debug)]
pub(crate) struct OpenRoot {
    pub(crate) root: Arc<OwnedFd>,
    pub(crate) path: PathBuf,
    pub(crate) filesystem: Arc<str>,
    pub(crate) directories: usize,
    /// Why there is nothing to sweep, where that is so.
    pub(crate) why_nothing: String,
    /// What tells that there is no need to check it again.
    pub(crate) change_probe: Option<Arc<ChangeProbe>>,
}

/// The thread's state.
pub(crate) struct Scanner {
    root: String,
    /// Where the root was found.
    path: PathBuf,
    plan: Arc<Plan>,
    demand: Arc<DemandCache>,
    context: Context,
    warnings: Warnings,
    tree: Option<Tree>,
    boot_time: u64,
    /// When it was last looked for and not there, or last read before it went; unix ns, 0 for never.
    absent_at: u64,
    /// Why there is no tree, as it was last said.
    open_error: Option<String>,
    current_directory: Arc<Mutex<String>>,
    events: mpsc::Sender<ScanEvent>,
}

impl Scanner {
    /// Nothing is looked at yet. `current_directory` is always the directory that is being listed.
    pub(crate) fn new(
        root: String,
        plan: Arc<Plan>,
        demand: Demand,
        context: Context,
        warnings: Warnings,
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
            warnings,
            tree: None,
            absent_at: 0,
            open_error: None,
            current_directory,
            events,
        }
    }

    /// Starts the thread; it ends when nobody asks any more.
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
            tracing::warn!(
                "{} has gone or was replaced; its series end",
                display_path(&self.path)
            );
            self.absent_at = request.last_sweep_end;
            // Nobody listens any more when this fails: then the thread ends as well.
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
                    if let Some(discovered) = tree.discovered_file(directory, &file, &self.warnings)
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
                &self.warnings,
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
            let descriptors = self.context.descriptors.clone();
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
                    tracing::info!("{} is there now; sweeping it", display_path(&path));
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
