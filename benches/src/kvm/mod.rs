//! `kvm`: what statistics of KVM cost, and how many of them are true: by this program's sources, by a C program that does
//! nothing but read, and by what people use.

mod costs;
mod domains;
mod owners;
mod peers;
mod proofs;
mod sources;
mod spent;
mod truth;
mod truths;

use std::io;
use std::process::Command;

use self::owners::Owners;
use self::proofs::Proofs;
use crate::measure::Bench;
use crate::report::{lacks, say};
use crate::{memory, trees};

/// All of it; `libvirt`: what takes a libvirt, as `scripts/kvm-libvirt.sh` gives one.
pub(crate) fn main(what: Option<&str>) -> io::Result<()> {
    trees::own_debugfs()?;
    let directory = memory()?;
    let bench = Bench::new(directory.path(), None)?;
    match what {
        None => everything(&bench),
        Some("libvirt") => domains::compare(&bench),
        Some(other) => Err(io::Error::other(format!("`{other}` is not `libvirt`"))),
    }
}

fn everything(bench: &Bench) -> io::Result<()> {
    let proofs = Proofs::build(bench.directory());
    if let Err(error) = &proofs {
        lacks("reads in C", &format!("{error}; apt-get install gcc libc6-dev"))?;
    }
    costs::compare(bench, proofs.ok().as_ref())?;
    truths::compare(bench, &Owners::start(10)?)?;
    with_libvirt()
}

/// The part with a libvirt of its own, which has mounts of its own too.
fn with_libvirt() -> io::Result<()> {
    if Command::new("virsh").arg("--version").output().is_err() {
        return lacks("virsh domstats", peers::INSTALL);
    }
    say("")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kvm-libvirt.sh");
    let mut inside = Command::new(script);
    let inside = inside.arg(std::env::current_exe()?).args(["kvm", "libvirt"]);
    match inside.status()? {
        it if it.success() => Ok(()),
        it => lacks("virsh domstats", &format!("no libvirt of its own: {it}")),
    }
}
