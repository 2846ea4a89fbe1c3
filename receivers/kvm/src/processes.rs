//! The processes that have VMs: found by what they hold open, watched by a descriptor that pins nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rustix::io::Errno;

use crate::identity::Identity;
use crate::kvm_file::KvmFile;
use crate::procfs::{Descriptors, Procfs, is_answer};
use crate::taking::Process;

/// A process that holds something of KVM.
#[derive(Debug)]
pub(crate) struct VmProcess {
    pub(crate) process: Arc<Process>,
    /// Who its VM is; `None` as long as its command line has not answered.
    pub(crate) identity: Option<Identity>,
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
            // What is known holds until there is an answer.
            Err(error) if !is_answer(error) => return false,
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
            let is_named = known.identity.is_none() && known.find_identity(procfs);
            return is_named
                | (std::mem::replace(&mut known.descriptors, descriptors.clone()) != descriptors);
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

    /// What each process holds that no other one held before it: children are forked with what their parent has. `id_of`
    /// tells the id of the block that a descriptor of a process shows, where it is known. Not those that have nothing else.
    pub(crate) fn own<'a>(
        &'a self,
        id_of: impl Fn(i32, i32) -> Option<&'a str>,
    ) -> Vec<(i32, Descriptors)> {
        let mut by_start: Vec<&VmProcess> = self.known.values().collect();
        by_start.sort_by_key(|it| (it.start, it.process.pid));
        let mut first: HashMap<(i32, &str), &VmProcess> = HashMap::new();
        let mut all = Vec::new();
        for it in by_start {
            let stats = it.descriptors.iter().filter(|at| at.1.is_statistics());
            let blocks = stats.filter_map(|at| Some((at.0, id_of(it.process.pid, at.0)?)));
            let blocks: Vec<(i32, &str)> = blocks.collect();
            let of = blocks.iter().find_map(|it| first.get(it).copied());
            let of = of.or_else(|| self.parent(it));
            let is_other = |of: &VmProcess, fd: i32| {
                let ids = id_of(of.process.pid, fd).zip(id_of(it.process.pid, fd));
                ids.is_some_and(|(one, other)| one != other)
            };
            let mut own = it.descriptors.clone();
            // One that has another block under a number has made all of it anew.
            if let Some(of) = of.filter(|of| !it.shared(of).any(|at| is_other(of, at.0))) {
                own.retain(|at| !of.descriptors.contains(at));
            }
            for block in blocks {
                first.entry(block).or_insert(it);
            }
            if !own.is_empty() {
                all.push((it.process.pid, own));
            }
        }
        all
    }

    /// The process that this one was forked from, if that holds something of KVM, too.
    pub(crate) fn parent(&self, of: &VmProcess) -> Option<&VmProcess> {
        self.known.get(&of.parent)
    }
}

impl VmProcess {
    /// A process of this number, which may have ended already.
    fn open(procfs: &Procfs, pid: i32) -> Result<VmProcess, Errno> {
        let process = Process::open(pid)?;
        let (parent, since_boot) = procfs.parent_and_start(pid).ok_or(Errno::SRCH)?;
        let identity = Identity::of_process(procfs, pid);
        let process = Arc::new(process);
        // Its number may be another one's by now: what was read is its own as long as it lives.
        if !Process::ended(std::slice::from_ref(&process)).is_empty() {
            return Err(Errno::SRCH);
        }
        Ok(VmProcess {
            start: process.unix_nano(since_boot),
            process,
            identity,
            parent,
            count: 0,
            descriptors: Vec::new(),
        })
    }

    /// Asks once more who its VM is. Whether there was an answer.
    fn find_identity(&mut self, procfs: &Procfs) -> bool {
        self.identity = Identity::of_process(procfs, self.process.pid);
        self.identity.is_some()
    }

    /// What another one holds under the same numbers.
    pub(crate) fn shared(&self, with: &VmProcess) -> impl Iterator<Item = (i32, KvmFile)> {
        let all = self.descriptors.iter().copied();
        all.filter(|it| with.descriptors.contains(it))
    }

    fn with(self, count: u64, descriptors: Descriptors) -> VmProcess {
        VmProcess {
            count,
            descriptors,
            ..self
        }
    }
}
