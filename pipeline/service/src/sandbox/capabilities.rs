//! Capabilities: which ones something takes, and how the others go.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::paths::{is_kernels, nearest};

/// What is done with a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// All that is below it, whosoever it is.
    ReadTree,
    Write,
}

/// A user and its groups.
pub(super) struct User {
    pub(super) id: Uid,
    pub(super) groups: Vec<Gid>,
}

/// The first port that everybody may listen on, where the kernel does not say another.
const UNPRIVILEGED_PORT: u16 = 1024;

impl User {
    /// The one of this process.
    pub(super) fn own() -> User {
        let mut groups = rustix::process::getgroups().unwrap_or_default();
        groups.push(rustix::process::getegid());
        User {
            id: rustix::process::geteuid(),
            groups,
        }
    }

    /// What this user takes to open a path beyond what owner, group and mode allow. Of a tree only the root is looked at:
    /// what the kernel makes is root's; elsewhere there may be anybody's files in it.
    pub(super) fn to_open(&self, path: &Path, access: Access) -> CapabilitySet {
        let directory = nearest(path);
        let file = path.canonicalize().ok().filter(|it| it.is_file());
        let (there, bits) = match (&file, access) {
            (Some(file), Access::Read) => (file, 0o4),
            (_, Access::Write) => (&directory, 0o3),
            _ => (&directory, 0o5),
        };
        let is_reached = there.ancestors().skip(1).all(|it| self.may(it, 0o1));
        let is_anybodys = access == Access::ReadTree && !is_kernels(there);
        if is_reached && self.may(there, bits) && !is_anybodys {
            CapabilitySet::empty()
        } else if access == Access::Write {
            CapabilitySet::DAC_OVERRIDE
        } else {
            CapabilitySet::DAC_READ_SEARCH
        }
    }

    fn may(&self, path: &Path, bits: u32) -> bool {
        let allows = |it: Metadata| {
            let shift = if it.uid() == self.id.as_raw() {
                6
            } else if self.groups.iter().any(|group| group.as_raw() == it.gid()) {
                3
            } else {
                0
            };
            it.mode() >> shift & bits == bits
        };
        path.metadata().is_ok_and(allows)
    }
}

/// What listening on a port takes.
pub(super) fn to_listen(port: u16) -> CapabilitySet {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.ok().and_then(|it| it.trim().parse().ok());
    if port != 0 && port < first.unwrap_or(UNPRIVILEGED_PORT) {
        CapabilitySet::NET_BIND_SERVICE
    } else {
        CapabilitySet::empty()
    }
}

/// The one of this name, `CAP_SYS_RAWIO`; none where there is none of it.
pub(super) fn named(name: &str) -> CapabilitySet {
    let known = name.strip_prefix("CAP_").and_then(CapabilitySet::from_name);
    known.unwrap_or_else(|| {
        tracing::warn!(
            name,
            "a component asks for a capability that does not exist"
        );
        CapabilitySet::empty()
    })
}

/// The names of these, as `CAP_SYS_PTRACE`.
pub(super) fn names(capabilities: CapabilitySet) -> Vec<String> {
    let names = capabilities.iter_names();
    names.map(|(name, _)| format!("CAP_{name}")).collect()
}

/// Gives up all capabilities but these, for this thread and those that it starts from now on.
///
/// # Errors
/// What the kernel says.
pub(super) fn keep_only(needed: CapabilitySet) -> Result<(), String> {
    let told = |error: rustix::io::Errno| format!("capabilities cannot be given up: {error}");
    let now = capabilities(None).map_err(told)?;
    let kept = with_substitutes(needed, now.permitted);
    if now.effective.contains(CapabilitySet::SETPCAP) {
        let all = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
        for one in all.filter(|it| !kept.contains(*it)) {
            match capability_is_in_bounding_set(one) {
                Ok(true) => remove_capability_from_bounding_set(one).map_err(told)?,
                Ok(false) => {}
                // This kernel has no more.
                Err(_) => break,
            }
        }
    }
    let sets = CapabilitySets {
        effective: now.effective & kept,
        permitted: now.permitted & kept,
        inheritable: now.inheritable & kept,
    };
    // Those that are ambient go with them.
    if sets == now {
        return Ok(());
    }
    set_capabilities(None, sets).map_err(told)
}

/// What does for another one that is not there: containers have the larger one, and kernels before 5.8 have no smaller ones.
fn with_substitutes(needed: CapabilitySet, permitted: CapabilitySet) -> CapabilitySet {
    let bpf = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let mut kept = needed;
    if needed.contains(CapabilitySet::DAC_READ_SEARCH)
        && !permitted.contains(CapabilitySet::DAC_READ_SEARCH)
    {
        kept |= CapabilitySet::DAC_OVERRIDE;
    }
    if needed.contains(bpf) && !permitted.contains(bpf) {
        kept |= CapabilitySet::SYS_ADMIN;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u32) -> User {
        User {
            id: Uid::from_raw(id),
            groups: Vec::new(),
        }
    }

    #[test]
    fn what_mode_and_owner_allow_takes_no_capability() {
        let of = |id, path: &str, access| user(id).to_open(Path::new(path), access);
        let (none, search) = (CapabilitySet::empty(), CapabilitySet::DAC_READ_SEARCH);
        for id in [0, 65534] {
            assert_eq!(of(id, "/sys/class/net", Access::ReadTree), none, "{id}");
            assert_eq!(of(id, "/etc/passwd", Access::Read), none, "{id}");
        }
        // Anybody may have a directory of their own in it.
        assert_eq!(of(0, "/etc", Access::ReadTree), search);
        assert_eq!(of(65534, "/etc/shadow", Access::Read), search);
        assert_eq!(of(0, "/etc/shadow", Access::Read), none);
        assert_eq!(
            of(65534, "/etc/no", Access::Write),
            CapabilitySet::DAC_OVERRIDE
        );
        assert_eq!(of(0, "/etc/no", Access::Write), none);
    }

    #[test]
    fn the_larger_capability_does_where_the_smaller_is_not_there() {
        let docker = CapabilitySet::DAC_OVERRIDE | CapabilitySet::CHOWN;
        let kept = with_substitutes(CapabilitySet::DAC_READ_SEARCH, docker);
        assert_eq!(kept & docker, CapabilitySet::DAC_OVERRIDE);
        let all = CapabilitySet::all();
        let bpf = CapabilitySet::BPF | CapabilitySet::PERFMON;
        assert_eq!(with_substitutes(bpf, all), bpf);
        assert!(with_substitutes(bpf, all - bpf).contains(CapabilitySet::SYS_ADMIN));
        assert_eq!(named("CAP_SYS_RAWIO"), CapabilitySet::SYS_RAWIO);
        assert_eq!(named("SYS_RAWIO"), CapabilitySet::empty());
        assert_eq!(names(bpf), ["CAP_PERFMON", "CAP_BPF"]);
    }

    #[test]
    fn a_low_port_takes_the_capability_for_it() {
        assert_eq!(to_listen(0), CapabilitySet::empty());
        assert_eq!(to_listen(65_535), CapabilitySet::empty());
    }
}
