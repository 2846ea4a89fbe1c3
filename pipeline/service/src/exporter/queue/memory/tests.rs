use std::collections::{BTreeSet, HashMap, VecDeque};
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
    let names: BTreeSet<Arc<str>> = request.iter().map(name).collect();
    names.into_iter().collect()
}

#[test]
fn it_has_room_for_so_many_requests_or_points_those_under_way_included() {
    let mut by_requests = queue("{queue_size: 2}");
    by_requests.push(request(&[1, 2, 3]));
    by_requests.push(request(&[4]));
    let (turn, _) = by_requests.next(0).expect("the first");
    assert!(by_requests.try_push(request(&[5])).is_err());
    by_requests.done(turn);
    assert!(by_requests.try_push(request(&[5])).is_ok());

    let mut by_points = queue("{queue_size: 2, sizer: items}");
    by_points.push(request(&[1]));
    let larger = by_points.try_push(request(&[2, 3, 4]));
    let larger = larger.expect_err("not beside");
    let (turn, _) = by_points.next(0).expect("the first");
    by_points.done(turn);
    by_points.try_push(larger).expect("by itself");
    assert!(by_points.try_push(request(&[1])).is_err());
}

#[test]
fn a_subsystem_is_under_way_once_at_a_time_and_in_order_and_all_come_out() {
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..200 {
        // Each by itself, or as many together as may go.
        let max_bytes = [0, 200, usize::MAX][round % 3];
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
                && let Some((turn, request)) = queue.next(max_bytes)
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
        assert_eq!(queue.used, Used::default());
    }
}
