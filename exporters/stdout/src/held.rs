//! What is held back until a sweep is over.

use pipeline::Batch;
use pipeline::formats::prometheus::{Exposition, Taken};

use crate::output::columns;
use crate::terminal::Screen;

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

    /// The text of all that is held; empty where nothing is.
    pub(crate) fn write(&mut self) -> String {
        match self {
            HeldSweep::Exposition(exposition) => exposition.write(),
            HeldSweep::Screen(screen) => screen.write(columns()),
        }
    }
}
