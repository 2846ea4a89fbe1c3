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
use super::mount::{boot_unix_nano, filesystem_of, find, shown};
use super::tree::{Clock, Tree};
use crate::directory_id::DirectoryId;
use crate::plan::Plan;
use crate::read::cpu_time;
use crate::warnings::Warnings;

/// A check that is asked for.
#[derive(Debug)]
pub(crate) struct ScanRequest {
    /// All of the tree, and the root where it is not there yet; else only what the kernel told of.
    pub(crate) whole: bool,
    /// Files that were too many, to be offered again.
    pub(crate) refused: BTreeSet<(DirectoryId, Arc<CString>)>,
    /// When the last sweep ended, unix ns.
    pub(crate) swept: u64,
    /// When the kernel last told that nothing had changed, if it did since the last check; unix ns.
    pub(crate) unchanged: Option<u64>,
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
pub(crate) struct Scan {
    root: String,
    /// Where the root was found.
    path: PathBuf,
    plan: Arc<Plan>,
    demand: Arc<DemandCache>,
    context: Context,
    warnings: Warnings,
    tree: Option<Tree>,
    boot: u64,
    /// When it was last looked for and not there, or last read before it went; unix ns, 0 for never.
    without: u64,
    /// Why there is no tree, as it was last said.
    lacking: Option<String>,
    at: Arc<Mutex<String>>,
    tell: mpsc::Sender<ScanEvent>,
}

impl Scan {
    /// Nothing is looked at yet. `at` is always the directory that is being listed.
    pub(crate) fn new(
        root: String,
        plan: Arc<Plan>,
        demand: Demand,
        context: Context,
        warnings: Warnings,
        at: Arc<Mutex<String>>,
        tell: mpsc::Sender<ScanEvent>,
    ) -> Scan {
        let demand = DemandCache::new(demand, context.clone());
        Scan {
            root,
            path: PathBuf::new(),
            plan,
            demand: Arc::new(demand),
            boot: boot_unix_nano(&context),
            context,
            warnings,
            tree: None,
            without: 0,
            lacking: None,
            at,
            tell,
        }
    }

    /// Starts the thread; it ends when nobody asks any more.
    pub(crate) fn spawn(mut self, asked: std::sync::mpsc::Receiver<ScanRequest>) -> io::Result<()> {
        let run = move || asked.into_iter().for_each(|ask| self.check(ask));
        let thread = std::thread::Builder::new().name("statsfs-scan".into());
        thread.spawn(run).map(drop)
    }

    fn check(&mut self, ask: ScanRequest) {
        let cpu = cpu_time();
        let gone = self.tree.take_if(|tree| !tree.is_there());
        if gone.is_some() {
            tracing::warn!(
                "{} has gone or was replaced; its series end",
                shown(&self.path)
            );
            self.without = ask.swept;
            // Nobody listens any more when this fails: then the thread ends as well.
            let _ = self.tell.blocking_send(ScanEvent::RootGone);
        }
        let whole = ask.whole || gone.is_some();
        if whole && self.tree.is_none() {
            self.open();
        }
        if let Some(tree) = &mut self.tree {
            tree.swept = ask.swept;
            tree.checked = ask.unchanged.unwrap_or(tree.checked);
            if gone.is_none() {
                for (directory, file) in ask.refused {
                    if let Some(discovered) = tree.discovered_file(directory, &file, &self.warnings)
                    {
                        tree.add_file(directory, discovered);
                    }
                }
            }
            let now = now_unix_nano();
            tree.check(
                whole,
                Clock {
                    boot: self.boot,
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
                why_nothing: if whole {
                    tree.why_nothing()
                } else {
                    String::new()
                },
            }),
            None => Err(self.lacking.clone().unwrap_or_else(|| "not found".into())),
        };
        let cpu = cpu_time().saturating_sub(cpu);
        let _ = self
            .tell
            .blocking_send(ScanEvent::Finished(ScanReport { tree, cpu }));
    }

    fn open(&mut self) {
        let opened = find(&self.root, &self.context).and_then(|path| {
            let filesystem = |device| filesystem_of(device, &self.context);
            let (demand, tell) = (Arc::clone(&self.demand), self.tell.clone());
            let sink = Box::new(move |changes| {
                let _ = tell.blocking_send(ScanEvent::Changes(demand.demanded(changes)));
            });
            let plan = Arc::clone(&self.plan);
            let at = Arc::clone(&self.at);
            let since = (self.boot, self.without);
            let descriptors = self.context.descriptors.clone();
            let path_of = path.clone();
            let tree = Tree::open(plan, path_of, filesystem, since, at, descriptors, sink);
            let tree = tree.map_err(|errno| match errno {
                Errno::NOENT => "no such directory".to_owned(),
                Errno::ACCESS => "permission denied: it takes root, CAP_DAC_READ_SEARCH, or a mount with mode=0755".to_owned(),
                errno => errno.to_string(),
            });
            tree.map(|tree| (path, tree))
        });
        match opened {
            Ok((path, tree)) => {
                if self.lacking.take().is_some() {
                    tracing::info!("{} is there now; sweeping it", shown(&path));
                }
                self.path = path;
                self.tree = Some(tree);
            }
            Err(why) => {
                self.lacking = Some(why);
                self.without = now_unix_nano();
            }
        }
    }
}
