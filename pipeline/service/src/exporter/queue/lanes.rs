//! In which order requests may be under way.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Numbers of requests, in order of arrival. Of those that have a subsystem in common only the first may be under way: so
/// a series stays in order.
#[derive(Default)]
pub(super) struct Lanes {
    next_number: u64,
    requests: HashMap<u64, Place>,
    /// The waiting requests that are first for all their subsystems.
    ready: BTreeSet<u64>,
    /// The numbers of the requests that have this subsystem, in order of arrival, those under way included.
    subsystems: HashMap<Arc<str>, VecDeque<u64>>,
}

struct Place {
    subsystems: Vec<Arc<str>>,
    /// For how many of its subsystems it is not the first.
    behind: usize,
}

/// Requests that go together, and which ones wait for none but them.
#[derive(Default)]
pub(super) struct Joining {
    /// For how many of its subsystems a request is not the first behind these.
    behind: HashMap<u64, usize>,
    joinable: BTreeSet<u64>,
}

impl Lanes {
    /// A request comes last that has these subsystems, each named once or several times in a row. Its number.
    pub(super) fn push<'a>(&mut self, named: impl Iterator<Item = &'a Arc<str>>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let (mut subsystems, mut behind) = (Vec::new(), 0);
        for subsystem in named {
            let lane = self.subsystems.entry(Arc::clone(subsystem)).or_default();
            if lane.back() == Some(&number) {
                continue;
            }
            behind += usize::from(!lane.is_empty());
            lane.push_back(number);
            subsystems.push(Arc::clone(subsystem));
        }
        if behind == 0 {
            self.ready.insert(number);
        }
        self.requests.insert(number, Place { subsystems, behind });
        number
    }

    /// The next request that may be under way: from now on it is.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.ready.pop_first()
    }

    /// The next request that may go together with these: all that it waits for are they, or nothing.
    pub(super) fn next_joinable(&self, joining: &Joining) -> Option<u64> {
        let first = joining.joinable.first().into_iter();
        first.chain(self.ready.first()).min().copied()
    }

    /// A request goes with these.
    pub(super) fn join(&mut self, joining: &mut Joining, number: u64) {
        joining.joinable.remove(&number);
        self.ready.remove(&number);
        let place = self.requests.get(&number);
        for subsystem in place.into_iter().flat_map(|it| &it.subsystems) {
            let Some(next) = self.behind(subsystem, number) else {
                continue;
            };
            let waits_for = || self.requests.get(&next).map_or(0, |it| it.behind);
            let behind = joining.behind.entry(next).or_insert_with(waits_for);
            *behind = behind.saturating_sub(1);
            if *behind == 0 {
                joining.joinable.insert(next);
            }
        }
    }

    /// The request that comes after this one in a subsystem.
    fn behind(&self, subsystem: &Arc<str>, number: u64) -> Option<u64> {
        let lane = self.subsystems.get(subsystem)?;
        let index = lane.binary_search(&number).ok()?;
        lane.get(index + 1).copied()
    }

    /// A request is done with, or goes without having been under way.
    pub(super) fn remove(&mut self, number: u64) {
        self.ready.remove(&number);
        let place = self.requests.remove(&number);
        for subsystem in place.into_iter().flat_map(|it| it.subsystems) {
            let Some(lane) = self.subsystems.get_mut(&subsystem) else {
                continue;
            };
            let Ok(index) = lane.binary_search(&number) else {
                continue;
            };
            lane.remove(index);
            match lane.front().copied() {
                None => drop(self.subsystems.remove(&subsystem)),
                Some(first) if index == 0 => self.comes_first(first),
                Some(_) => {}
            }
        }
    }

    /// A request is now the first in one more of its subsystems.
    fn comes_first(&mut self, number: u64) {
        let Some(place) = self.requests.get_mut(&number) else {
            return;
        };
        place.behind -= 1;
        if place.behind == 0 {
            self.ready.insert(number);
        }
    }

    /// Whether no request waits or is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}
