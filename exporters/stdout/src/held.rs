//! What is held back until a sweep is over.

use std::sync::Arc;
use std::time::Duration;

use pipeline::Batch;
use pipeline::formats::prometheus::{Escaping, Exposition, Format};

use crate::output::columns;
use crate::terminal::Screen;

/// A sweep's requests come in a burst, and those of one tick together; after so long without one, they are over.
const QUIET: Duration = Duration::from_millis(250);

/// So long a sweep is waited for that is known to go on: it may have slow files.
const QUIET_WITHIN_SWEEP: Duration = Duration::from_secs(2);

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The text of the sweep before; empty where it was written already.
    pub(crate) previous: String,
    /// How many of the points are left out. They are counted as dropped.
    pub(crate) left_out: u64,
}

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
            HeldSweep::Exposition(exposition) => {
                let shows_again = exposition.shows_again(request);
                let previous = shows_again.then(|| write(exposition));
                let left_out = request.iter().map(|batch| exposition.take(batch)).sum();
                let tables = request.iter().map(|it| Arc::clone(it.table()));
                exposition.publish(&tables.collect::<Vec<_>>());
                Taken {
                    previous: previous.unwrap_or_default(),
                    left_out,
                }
            }
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
            HeldSweep::Exposition(exposition) => write(exposition),
            HeldSweep::Screen(screen) => screen.write(columns()),
        }
    }
}

/// The exposition; empty where nothing came since the last one.
fn write(exposition: &mut Exposition) -> String {
    let news = exposition.has_news().then(|| exposition.snapshot());
    exposition.forget_gone();
    let text = news.map(|news| news.write(Format::Text, Escaping::AllowUtf8));
    text.unwrap_or_default()
}
