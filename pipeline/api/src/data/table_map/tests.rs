//! What a table map keeps and forgets, also beside the simplest one that does the same.

use super::*;
use crate::data::{Head, Scope};

fn table(slot: &str) -> Arc<Table> {
    let head = Head::new(
        Arc::default(),
        Arc::new(Scope::default()),
        "s".into(),
        slot.into(),
    );
    Table::new(Arc::new(head), Vec::new())
}

#[tokio::test(start_paused = true)]
async fn what_is_known_goes_to_the_successor_though_others_are_remade_at_the_same_time() {
    let mut map = TableMap::new();
    let old = ["s/0", "s/1"].map(table);
    map.insert(&old[0], 0);
    map.insert(&old[1], 1);
    drop(old);
    let new = ["s/0", "s/1"].map(table);
    for (number, new) in new.iter().enumerate() {
        assert_eq!(map.remove_predecessor(new), Some(number));
        assert!(map.remove_gone().is_empty());
        map.insert(new, number + 10);
    }
    let known: Vec<_> = map.values_mut().map(|value| *value).collect();
    assert_eq!(known, [10, 11]);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_nobody_takes_the_slot_of_is_forgotten_after_a_while() {
    let mut map = TableMap::new();
    map.insert(&table("s/0"), "gone");
    let stays = table("s/1");
    map.insert(&stays, "stays");
    assert!(map.remove_gone().is_empty());
    tokio::time::advance(SUCCESSION).await;
    assert_eq!(map.remove_gone(), ["gone"]);
    assert_eq!((map.len(), map.get(&stays)), (1, Some(&"stays")));
}

#[test]
fn tables_that_come_once_and_go_are_not_piled_up() {
    let mut map = TableMap::new();
    for number in 0..1_000 {
        let once = table(&format!("s{number}/0"));
        map.remove_gone();
        map.insert(&once, number);
    }
    assert!(map.len() <= 1 + 1 + MAX_WAITING, "{}", map.len());
}

#[test]
fn without_successors_a_table_is_forgotten_when_another_one_comes() {
    let mut map = TableMap::new();
    map.get_or_insert_with(&table("s/0"), || 0);
    let new = table("s/1");
    assert_eq!(*map.get_or_insert_with(&new, || 1), 1);
    assert_eq!(*map.get_or_insert_with(&new, || 2), 1, "known already");
    assert_eq!(map.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1]);
}

type SimpleEntry = (Weak<Table>, Arc<str>, u32, Option<Instant>);

/// The same by looking at all tables each time.
#[derive(Default)]
struct SimpleMap {
    /// In the order in which they came, with what is known of each, and when it was found to have gone.
    tables: Vec<SimpleEntry>,
    max_living: usize,
}

impl SimpleMap {
    fn insert(&mut self, table: &Arc<Table>, value: u32) {
        let own = Arc::downgrade(table);
        if let Some(known) = self.tables.iter_mut().find(|it| it.0.ptr_eq(&own)) {
            known.2 = value;
            return;
        }
        let slot = Arc::clone(&table.head().table_slot);
        self.tables.push((own, slot, value, None));
    }

    fn remove(&mut self, at: impl Fn(&Weak<Table>, &str) -> bool) -> Option<u32> {
        let at = self.tables.iter().rposition(|it| at(&it.0, &it.1))?;
        Some(self.tables.remove(at).2)
    }

    fn remove_predecessor(&mut self, table: &Arc<Table>) -> Option<u32> {
        let own = Arc::downgrade(table);
        self.remove(|it, slot| *slot == *table.head().table_slot && !it.ptr_eq(&own))
    }

    fn remove_gone(&mut self) -> Vec<u32> {
        let now = Instant::now();
        let mut gone = Vec::new();
        for (table, _, value, since) in &mut self.tables {
            if table.strong_count() == 0 {
                gone.push((*since.get_or_insert(now), table.as_ptr() as usize, *value));
            }
        }
        self.max_living = self.max_living.max(self.tables.len() - gone.len());
        gone.sort_unstable();
        let too_many = gone.len().saturating_sub(self.max_living + MAX_WAITING);
        let gone = gone.into_iter().enumerate();
        let over = gone.filter(|(at, (since, ..))| *at < too_many || now - *since >= SUCCESSION);
        let over: Vec<u32> = over.map(|(_, (.., value))| value).collect();
        self.tables.retain(|it| !over.contains(&it.2));
        over
    }
}

#[tokio::test(start_paused = true)]
async fn it_keeps_and_forgets_what_the_simple_map_does() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let (mut map, mut simple) = (TableMap::new(), SimpleMap::default());
        let mut living: Vec<Arc<Table>> = Vec::new();
        for value in 0..100 {
            match random.u8(0..8) {
                0..=3 => living.push(table(&format!("s/{}", random.u8(0..6)))),
                4 | 5 if !living.is_empty() => {
                    living.swap_remove(random.usize(..living.len()));
                }
                6 => tokio::time::advance(SUCCESSION / random.u32(1..4)).await,
                _ => assert_eq!(map.remove_gone(), simple.remove_gone(), "seed {seed}"),
            }
            let Some(table) = random.choice(&living) else {
                continue;
            };
            match random.u8(0..6) {
                0 => assert_eq!(
                    map.remove_predecessor(table),
                    simple.remove_predecessor(table),
                    "seed {seed}"
                ),
                1 => {
                    let own = Arc::downgrade(table);
                    let removed = simple.remove(|it, _| it.ptr_eq(&own));
                    assert_eq!(map.remove(table), removed, "seed {seed}");
                }
                2 => {
                    map.retain(|_, known| *known % 7 != 3);
                    simple.tables.retain(|it| it.2 % 7 != 3);
                }
                3 if random.u8(0..10) == 0 => {
                    let known = *map.get_or_insert_with(table, || value);
                    simple.insert(table, known);
                    // It has forgotten them already, where it grew.
                    map.take_gone();
                    simple.tables.retain(|it| it.0.strong_count() > 0);
                }
                _ => {
                    map.insert(table, value);
                    simple.insert(table, value);
                }
            }
            let mut known: Vec<u32> = map.values_mut().map(|known| *known).collect();
            let mut expected: Vec<u32> = simple.tables.iter().map(|it| it.2).collect();
            known.sort_unstable();
            expected.sort_unstable();
            assert_eq!(known, expected, "seed {seed}");
            let of_slots: usize = map.slots.values().map(Vec::len).sum();
            assert_eq!(of_slots, map.len(), "seed {seed}");
            assert!(map.gone.len() <= map.len(), "seed {seed}");
        }
    }
}

#[test]
fn a_new_table_costs_as_much_among_many_as_among_few() {
    const TABLES: usize = 1_000;
    let mut map: TableMap<u32> = TableMap::new();
    let all = || {
        (0..TABLES)
            .map(|slot| table(&format!("s/{slot}")))
            .collect()
    };
    let mut take_over = |tables: &[Arc<Table>]| {
        for table in tables {
            let known = map.remove_predecessor(table).unwrap_or_default();
            map.remove_gone();
            map.insert(table, known + 1);
        }
        std::mem::take(&mut map.looks)
    };
    let first: Vec<_> = all();
    assert_eq!(take_over(&first), 0, "none has gone");
    let second: Vec<_> = all();
    drop(first);
    // Each predecessor is removed, and was dropped.
    assert!(take_over(&second) <= 3 * TABLES);
    assert!(map.values_mut().all(|known| *known == 2));
}

#[test]
fn a_table_tells_each_map_once_that_it_is_dropped() {
    let (mut one, mut other) = (TableMap::new(), TableMap::new());
    let table = table("s/0");
    for value in 0..3 {
        one.remove(&table);
        one.insert(&table, value);
        other.insert(&table, value);
    }
    drop(table);
    assert_eq!(
        (one.dropped.take().len(), other.dropped.take().len()),
        (1, 1)
    );
}
