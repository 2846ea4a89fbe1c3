//! Which files there are: the root is found, its tree is scanned, and changes in it are noticed.

mod inotify;
mod mount;
pub(crate) mod name;
mod scan;
pub(crate) mod schema;
mod tree;

pub(crate) use inotify::Quiet;
pub(crate) use mount::shown;
pub(crate) use scan::{Ask, Checked, Scan, There, Told, Wanted};
pub(crate) use tree::{Found, Place};
