//! Files of the configuration that may change while the program runs are looked at on a thread of its own: one may stand on
//! a file system that hangs, and then nothing waits but this.

mod changes;
mod links;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use pipeline::FileWatch;
use pipeline::telemetry::Warnings;

use changes::Changes;
pub(crate) use links::entries;

/// For so long files may be of no use before that is warned of: they may be in the middle of being written, or one of two.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks at these files until the program ends.
///
/// # Errors
/// Why there is no thread for it.
pub(crate) fn watch(files: Vec<FileWatch>) -> io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let all = files.into_iter().map(ComponentFiles::new).collect();
    let thread = thread::Builder::new().name("files".into());
    thread.spawn(move || look_for_ever(all)).map(drop)
}

fn look_for_ever(mut all: Vec<ComponentFiles>) {
    let paths: Vec<_> = all
        .iter()
        .flat_map(|it| it.watch.paths())
        .cloned()
        .collect();
    let intervals = all.iter().map(|it| it.watch.interval());
    let interval = intervals.filter(|it| !it.is_zero()).min();
    loop {
        // Begun before they are read, so that nothing falls between. Links may lead elsewhere each time.
        let changes = Changes::of(&paths);
        all.iter_mut().for_each(ComponentFiles::look);
        let is_in_doubt = all.iter().any(ComponentFiles::is_in_doubt);
        changes.wait(if is_in_doubt {
            Some(PATIENCE)
        } else {
            interval
        });
    }
}

/// Files of one component that are used together.
struct ComponentFiles {
    watch: FileWatch,
    state: State,
    warnings: Warnings,
}

/// Whether they can be used as they are now.
enum State {
    Used,
    /// Not since then, which is not warned of yet.
    InDoubt(Instant),
    Unusable,
}

impl ComponentFiles {
    fn new(watch: FileWatch) -> ComponentFiles {
        ComponentFiles {
            warnings: Warnings::new(watch.component()),
            state: State::Used,
            watch,
        }
    }

    fn is_in_doubt(&self) -> bool {
        matches!(self.state, State::InDoubt(_))
    }

    fn look(&mut self) {
        let why = match self.watch.look() {
            Ok(is_new) => {
                self.state = State::Used;
                if is_new {
                    self.log();
                }
                return;
            }
            Err(why) => why,
        };
        match self.state {
            State::Used => self.state = State::InDoubt(Instant::now()),
            State::InDoubt(since) if since.elapsed() >= PATIENCE => {
                self.state = State::Unusable;
                let message = "changed files cannot be used; what was read of them before goes on";
                let detail = format!("{}: {why}", why.path());
                self.warnings.warn_again(message, &detail);
            }
            State::InDoubt(_) | State::Unusable => {}
        }
    }

    fn log(&self) {
        let component = &**self.watch.component();
        let paths = self.watch.paths().iter();
        let paths: Vec<_> = paths.map(|it| it.display().to_string()).collect();
        let files = paths.join(", ");
        tracing::info!(component, files, "changed files are used from now on");
    }
}
