//! The processes that have VMs: found by what they hold open, watched by a descriptor that pins nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rustix::io::Errno;

use crate::identity::Identity;
use crate::procfs::{Descriptors, Procfs};
use crate::taking::Process;

/// A process that holds something of KVM.
#[derive(Debug)]
pub(crate) struct VmProcess {
    pub(crate) process: Arc<Process>,
    pub(crate) identity: Identity,
    /// When it was started, unix ns.
    pub(crate) start: u64,
    parent: i32,
    /// How many descriptors it had when it was last looked at.
    count: u64,
    pub(crate) descriptors: Descriptors,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    known: BTreeMap<i32, VmProcess>,
    /// How many are watched at the most: each takes a descriptor.
    max: usize,
    /// Whether there are more.
    pub(crate) is_beyond: bool,
    /// How many processes did not let themselves be looked at, at the last scan of all.
    pub(crate) refused: usize,
    /// Why processes cannot be watched, if they cannot.
    pub(crate) unwatched: Option<Errno>,
}

impl Processes {
    /// None is known; so many are watched at the most.
    pub(crate) fn new(max: usize) -> Processes {
        Processes {
            max,
            ..Processes::default()
        }
    }

    /// Removes those that have ended, and looks again at those that have opened or closed something. Whether anything is
    /// different.
    pub(crate) fn update(&mut self, procfs: &Procfs) -> bool {
        let all: Vec<Arc<Process>> = self
            .known
            .values()
            .map(|it| Arc::clone(&it.process))
            .collect();
        let ended = Process::ended(&all);
        ended.iter().for_each(|pid| _ = self.known.remove(pid));
        let is_other = |it: &&VmProcess| {
            let count = procfs.descriptor_count(it.process.pid);
            count.is_ok_and(|count| count == 0 || count != it.count)
        };
        let other: Vec<i32> = self
            .known
            .values()
            .filter(is_other)
            .map(|it| it.process.pid)
            .collect();
        let changed = other.into_iter().filter(|pid| self.look(procfs, *pid));
        let changed = changed.count();
        changed + ended.len() > 0
    }

    /// Looks at all processes of the host. Whether anything is different.
    pub(crate) fn scan(&mut self, procfs: &Procfs) -> bool {
        (self.refused, self.is_beyond) = (0, false);
        let all = procfs.processes().unwrap_or_default();
        let changed = all.into_iter().filter(|pid| self.look(procfs, *pid));
        changed.count() > 0
    }

    /// Looks at one process: what it holds open now. Whether that is different.
    pub(crate) fn look(&mut self, procfs: &Procfs, pid: i32) -> bool {
        let count = procfs.descriptor_count(pid).unwrap_or_default();
        let descriptors = match procfs.descriptors(pid) {
            Ok(descriptors) => descriptors,
            Err(error) => {
                // The first process has no VM, and often rights that nobody else has.
                let is_refused = matches!(error, Errno::ACCESS | Errno::PERM) && pid != 1;
                self.refused += usize::from(is_refused);
                Vec::new()
            }
        };
        if descriptors.is_empty() {
            return self.known.remove(&pid).is_some();
        }
        if let Some(known) = self.known.get_mut(&pid) {
            known.count = count;
            return std::mem::replace(&mut known.descriptors, descriptors.clone()) != descriptors;
        }
        if self.known.len() >= self.max {
            self.is_beyond = true;
            return false;
        }
        match VmProcess::open(procfs, pid) {
            Ok(it) => _ = self.known.insert(pid, it.with(count, descriptors)),
            Err(Errno::SRCH) => return false,
            Err(error) => {
                self.unwatched = Some(error);
                return false;
            }
        }
        true
    }

    /// All of them that are there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &VmProcess> {
        self.known.values()
    }

    /// The one of this number.
    pub(crate) fn get(&self, pid: i32) -> Option<&VmProcess> {
        self.known.get(&pid)
    }

    /// Makes the next look at this process find a difference.
    pub(crate) fn distrust(&mut self, pid: i32) {
        if let Some(it) = self.known.get_mut(&pid) {
            (it.count, it.descriptors) = (u64::MAX, Vec::new());
        }
    }

    /// The processes that only have what another one opened before them: children that were forked with it. `id_of` tells
    /// the id of the block that a descriptor of a process shows, where it is known.
    pub(crate) fn copies<'a>(&'a self, id_of: impl Fn(i32, i32) -> Option<&'a str>) -> Vec<i32> {
        let mut by_start: Vec<&VmProcess> = self.known.values().collect();
        by_start.sort_by_key(|it| (it.start, it.process.pid));
        let mut first: HashMap<(i32, &str), &VmProcess> = HashMap::new();
        let mut copies = Vec::new();
        for it in by_start {
            let mut stats = it.descriptors.iter().filter(|at| at.1.is_statistics());
            let block = stats.find_map(|at| Some((at.0, id_of(it.process.pid, at.0)?)));
            let of = block.and_then(|it| first.get(&it).copied());
            let parent = self.known.get(&it.parent).filter(|_| block.is_none());
            let is_part =
                |of: &VmProcess| it.descriptors.iter().all(|at| of.descriptors.contains(at));
            if of.or(parent).is_some_and(is_part) {
                copies.push(it.process.pid);
            } else {
                first.extend(block.map(|block| (block, it)));
            }
        }
        copies
    }
}

impl VmProcess {
    /// A process of this number, which may have ended already.
    fn open(procfs: &Procfs, pid: i32) -> Result<VmProcess, Errno> {
        let process = Process::open(pid)?;
        let (parent, start) = procfs.parent_and_start(pid).ok_or(Errno::SRCH)?;
        let identity = Identity::of_command_line(&procfs.command_line(pid));
        let process = Arc::new(process);
        // Its number may be another one's by now: what was read is its own as long as it lives.
        if !Process::ended(std::slice::from_ref(&process)).is_empty() {
            return Err(Errno::SRCH);
        }
        Ok(VmProcess {
            process,
            identity,
            start,
            parent,
            count: 0,
            descriptors: Vec::new(),
        })
    }

    fn with(self, count: u64, descriptors: Descriptors) -> VmProcess {
        VmProcess {
            count,
            descriptors,
            ..self
        }
    }
}
