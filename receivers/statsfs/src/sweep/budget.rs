//! The budget of CPU time: which subsystems are swept less often, so that all together stay within it.

use std::time::Duration;

/// What a subsystem costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) priority: i32,
    /// CPU time of a sweep.
    pub(crate) cpu: Duration,
    /// The interval between sweeps that is wanted.
    pub(crate) interval: Duration,
}

/// The largest skip factor: every subsystem is swept at least each 64th time that it is due.
const MAX_SKIP_FACTOR: u32 = 64;

/// The skip factor of each subsystem: it is swept every n-th time that it is due, with n = 1 within the budget. Over it, the
/// lowest priority is reduced first, and within it the most expensive subsystem. `budget` is a part of one core, 0 to 1.
pub(crate) fn skip_factors(loads: &[Load], budget: f64) -> Vec<u32> {
    let share = |load: &Load| load.cpu.as_secs_f64() / load.interval.as_secs_f64().max(1e-9);
    let mut over = loads.iter().map(share).sum::<f64>() - budget;
    let mut skip_factors = vec![1; loads.len()];
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by(|a, b| {
        let dearer = share(&loads[*b]).total_cmp(&share(&loads[*a]));
        loads[*a].priority.cmp(&loads[*b].priority).then(dearer)
    });
    for index in order {
        if over <= 0.0 {
            break;
        }
        let share = share(&loads[index]);
        if share <= 0.0 {
            continue;
        }
        let left = (share - over).max(share / f64::from(MAX_SKIP_FACTOR));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let skip_factor = (share / left - 1e-9)
            .ceil()
            .clamp(1.0, MAX_SKIP_FACTOR.into()) as u32;
        skip_factors[index] = skip_factor;
        over -= share - share / f64::from(skip_factor);
    }
    skip_factors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(priority: i32, cpu_ms: u64) -> Load {
        Load {
            priority,
            cpu: Duration::from_millis(cpu_ms),
            interval: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_lowest_priority_gives_way_first_and_the_dearest_of_it() {
        let loads = [load(10, 20), load(0, 30), load(0, 5)];
        assert_eq!(skip_factors(&loads, 1.0), [1, 1, 1]);
        assert_eq!(skip_factors(&loads, 0.055), [1, 1, 1], "just within");
        assert_eq!(
            skip_factors(&loads, 0.040),
            [1, 2, 1],
            "15 ms too much: the one of 30 ms at each second turn"
        );
        assert_eq!(skip_factors(&loads, 0.026), [1, 30, 1]);
        assert_eq!(
            skip_factors(&loads, 0.010),
            [3, 64, 64],
            "then those of higher priority"
        );
        assert_eq!(skip_factors(&[], 0.01), Vec::<u32>::new());
    }

    #[test]
    fn what_remains_is_within_the_budget_wherever_it_can_be() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2_000 {
            let loads: Vec<Load> = (0..random.usize(1..9))
                .map(|_| load(random.i32(-2..3), random.u64(0..200)))
                .collect();
            let budget = random.f64();
            let skip_factors = skip_factors(&loads, budget);
            let left: f64 = loads
                .iter()
                .zip(&skip_factors)
                .map(|(load, skip_factor)| load.cpu.as_secs_f64() / f64::from(*skip_factor))
                .sum();
            let least: f64 = loads.iter().map(|load| load.cpu.as_secs_f64() / 64.0).sum();
            assert!(
                left <= budget.max(least) + 1e-9,
                "seed {seed}: {loads:?} {budget} {skip_factors:?}"
            );
        }
    }
}
