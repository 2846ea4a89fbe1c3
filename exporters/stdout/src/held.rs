//! What is held back until a sweep is over.

use std::time::Duration;

use pipeline::Batch;
use pipeline::formats::prometheus::{Exposition, Taken};

use crate::output::columns;
use crate::terminal::Screen;

/// A sweep's requests come in a burst, and those of one tick together; after so long without one, they are over.
const QUIET: Duration = Duration::from_millis(250);

/// So long a sweep is waited for that is known to go on: it may have slow files.
const QUIET_WITHIN_SWEEP: Duration = Duration::from_secs(2);

/// What is made of a whole sweep.
#[derive(Debug)]
pub(crate) enum HeldSweep {
    Exposition(Exposition),
    Screen(Screen),
}

impl HeldSweep {
    /// Takes in what a request showed. What shows again what is not written yet belongs to the next sweep: that is written first.
    pub(crate) fn take(&mut self, request: &[Batch]) -> Taken {
        match self {
            HeldSweep::Exposition(exposition) => exposition.take(request),
            HeldSweep::Screen(screen) => Taken {
                previous: screen.take(request, columns()),
                left_out: 0,
            },
        }
    }

    /// After how long without a request what is held is written.
    pub(crate) fn quiet(&self) -> Duration {
        match self {
            HeldSweep::Screen(screen) if !screen.is_whole() => QUIET_WITHIN_SWEEP,
            _ => QUIET,
        }
    }

    /// The text of all that is held; empty where nothing is.
    pub(crate) fn write(&mut self) -> String {
        match self {
            HeldSweep::Exposition(exposition) => exposition.write(),
            HeldSweep::Screen(screen) => screen.write(columns()),
        }
    }
}
