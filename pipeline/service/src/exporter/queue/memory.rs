//! A queue in memory: what is in it when the program is killed is lost.

use std::collections::HashMap;

use pipeline::points;

use super::{Lanes, Queue, Turn};
use crate::config::{SendingQueue, Sizer};
use crate::processor::Request;

/// Requests in memory.
pub(in super::super) struct MemoryQueue {
    /// In requests or in points.
    size: usize,
    used: usize,
    sizer: Sizer,
    lanes: Lanes,
    /// By their numbers.
    waiting: HashMap<u64, Request>,
}

impl MemoryQueue {
    /// An empty queue. One that is not enabled has room for one request.
    pub(in super::super) fn new(config: &SendingQueue) -> MemoryQueue {
        let (size, sizer) = if config.enabled {
            (config.queue_size.get(), config.sizer)
        } else {
            (1, Sizer::Requests)
        };
        MemoryQueue {
            size,
            used: 0,
            sizer,
            lanes: Lanes::default(),
            waiting: HashMap::new(),
        }
    }

    fn weight(&self, request: &Request) -> usize {
        let weight = match self.sizer {
            Sizer::Requests => 1,
            Sizer::Items => usize::try_from(points(request)).unwrap_or(usize::MAX),
        };
        weight.min(self.size)
    }
}

impl Queue for MemoryQueue {
    fn is_empty(&self) -> bool {
        self.used == 0
    }

    fn has_room(&self, request: &Request) -> bool {
        self.weight(request) <= self.size - self.used
    }

    fn push(&mut self, request: Request) {
        self.used += self.weight(&request);
        let subsystems = request.iter().map(|it| &it.table().head().subsystem);
        let number = self.lanes.push(subsystems);
        self.waiting.insert(number, request);
    }

    fn next(&mut self) -> Option<(Turn, Request)> {
        let number = self.lanes.next()?;
        let request = self.waiting.remove(&number)?;
        let weight = self.weight(&request);
        Some((Turn { number, weight }, request))
    }

    fn done(&mut self, turn: Turn) {
        self.used -= turn.weight;
        self.lanes.remove(turn.number);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use pipeline::Batch;
    use pipeline::formats::text;

    use super::*;

    fn queue(yaml: &str) -> MemoryQueue {
        MemoryQueue::new(&serde_yaml::from_str(yaml).expect("a queue"))
    }

    /// A request of a point in each of these subsystems.
    fn request(subsystems: &[usize]) -> Request {
        let lines: Vec<_> = subsystems.iter().map(|it| format!("s{it}/c 1")).collect();
        text::parse(&lines.join("\n")).expect("a table each")
    }

    fn names(request: &[Batch]) -> Vec<Arc<str>> {
        let name = |batch: &Batch| Arc::clone(&batch.table().head().subsystem);
        request.iter().map(name).collect()
    }

    #[test]
    fn it_has_room_for_so_many_requests_or_points_those_under_way_included() {
        let mut by_requests = queue("{queue_size: 2}");
        by_requests.push(request(&[1, 2, 3]));
        by_requests.push(request(&[4]));
        let (turn, _) = by_requests.next().expect("the first");
        assert!(!by_requests.has_room(&request(&[5])));
        by_requests.done(turn);
        assert!(by_requests.has_room(&request(&[5])));

        let mut by_points = queue("{queue_size: 2, sizer: items}");
        by_points.push(request(&[1]));
        assert!(!by_points.has_room(&request(&[2, 3, 4])), "not beside");
        let (turn, _) = by_points.next().expect("the first");
        by_points.done(turn);
        by_points.push(request(&[2, 3, 4]));
        assert!(!by_points.has_room(&request(&[1])));
    }

    #[test]
    fn a_subsystem_is_under_way_once_at_a_time_and_in_order_and_all_come_out() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let mut queue = queue("{queue_size: 1000}");
            let (mut under_way, mut next_value) = (Vec::new(), 0_u64);
            // What each subsystem was offered and is not given yet, by the time stamp of its batch.
            let mut offered: HashMap<Arc<str>, VecDeque<u64>> = HashMap::new();
            let mut left = 60;
            while left > 0 || !queue.is_empty() {
                if left > 0 && random.bool() {
                    left -= 1;
                    let subsystems: Vec<usize> = (0..5).filter(|_| random.u8(0..3) == 0).collect();
                    let mut one = request(&subsystems);
                    for batch in &mut one {
                        next_value += 1;
                        let (table, starts) = (batch.table(), batch.starts_unix_nano());
                        *batch = Batch::new(
                            Arc::clone(table),
                            Arc::clone(starts),
                            pipeline::Times::One(next_value),
                            batch.values().to_vec(),
                            batch.sweep(),
                        );
                        let name = Arc::clone(&batch.table().head().subsystem);
                        offered.entry(name).or_default().push_back(next_value);
                    }
                    queue.push(one);
                } else if random.bool()
                    && let Some((turn, request)) = queue.next()
                {
                    for batch in &request {
                        let name = &batch.table().head().subsystem;
                        let first = offered.get_mut(name).and_then(VecDeque::pop_front);
                        assert_eq!(first, Some(batch.time_unix_nano(0)), "{name} in order");
                    }
                    under_way.push((turn, names(&request)));
                    let mut at_once: Vec<_> = under_way.iter().flat_map(|it| &it.1).collect();
                    let all = at_once.len();
                    at_once.sort_unstable();
                    at_once.dedup();
                    assert_eq!(at_once.len(), all, "once at a time");
                } else if !under_way.is_empty() {
                    let (turn, _) = under_way.swap_remove(random.usize(..under_way.len()));
                    queue.done(turn);
                }
            }
            assert!(offered.values().all(VecDeque::is_empty));
            assert!(queue.waiting.is_empty() && queue.lanes.is_empty());
        }
    }
}
