//! `kvm [costs|truth|libvirt]`: what statistics of KVM cost, and how many of them are true: by this program's sources, by a
//! C program that does nothing but read, and by what people use.

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

use self::proofs::Proofs;
use crate::measure::Bench;
use crate::report::{lacks, say};
use crate::{memory, trees};

/// All of it, or a part.
pub(crate) fn main(part: Option<&str>) -> io::Result<()> {
    trees::own_debugfs()?;
    let directory = memory()?;
    let bench = Bench::new(directory.path(), None)?;
    match part {
        None => {
            costs(&bench)?;
            truths::compare(&bench)?;
            with_libvirt()
        }
        Some("costs") => costs(&bench),
        Some("truth") => truths::compare(&bench),
        Some("libvirt") => with_libvirt(),
        Some(INSIDE) => domains::compare(&bench),
        Some(other) => Err(io::Error::other(format!(
            "`{other}` is none of costs, truth, libvirt"
        ))),
    }
}

/// The part that runs beside a libvirt of its own.
const INSIDE: &str = "domains";

fn costs(bench: &Bench) -> io::Result<()> {
    let proofs = Proofs::build(bench.directory());
    if let Err(error) = &proofs {
        let why = format!("{error}; apt-get install gcc libc6-dev");
        lacks("reads in C", &why)?;
    }
    costs::compare(bench, proofs.ok().as_ref())
}

/// `virsh domstats`, with a libvirt of its own, which has mounts of its own.
fn with_libvirt() -> io::Result<()> {
    if Command::new("virsh").arg("--version").output().is_err() {
        return lacks("virsh domstats", peers::INSTALL);
    }
    say("")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kvm-libvirt.sh");
    let mut inside = Command::new(script);
    let inside = inside.arg(std::env::current_exe()?).args(["kvm", INSIDE]);
    match inside.status()? {
        it if it.success() => Ok(()),
        it => lacks("virsh domstats", &format!("no libvirt of its own: {it}")),
    }
}
