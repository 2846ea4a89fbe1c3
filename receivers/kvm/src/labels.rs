//! What VMs are called: two that live never share a name.

use std::collections::HashSet;

use crate::config::IdentityPart;
use crate::vm::{Vm, label};

/// A name has 256 bytes at the most, and what is put behind it four: no name is that of another one so often.
const MAX_ROUNDS: usize = 64;

/// The name of each VM, in their order, and the names that more than one would have: those get the process and the
/// descriptor behind them.
pub(crate) fn labels(vms: &[Vm], by: &[IdentityPart]) -> (Vec<String>, Vec<String>) {
    let mut labels: Vec<String> = vms.iter().map(|it| label(it, by)).collect();
    let mut shared: Vec<String> = twice(&labels).into_iter().collect();
    shared.sort();
    // Another one may be called so, too: until none is.
    let mut again: HashSet<String> = shared.iter().cloned().collect();
    for _ in 0..MAX_ROUNDS {
        if again.is_empty() {
            break;
        }
        for (label, vm) in labels.iter_mut().zip(vms) {
            if again.contains(label) {
                *label = format!("{label}/{}", vm.pid_and_fd());
            }
        }
        again = twice(&labels);
    }
    (labels, shared)
}

/// The names that come more than once.
fn twice(labels: &[String]) -> HashSet<String> {
    let mut known = HashSet::new();
    let again = labels.iter().filter(|it| !known.insert(*it));
    again.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn vm(pid: i32, name: Option<&str>, uuid: Option<&str>) -> Vm {
        Vm {
            key: (pid, 12),
            identity: Identity {
                vmm: None,
                name: name.map(str::to_owned),
                uuid: uuid.map(str::to_owned),
            },
            ..Vm::default()
        }
    }

    #[test]
    fn a_vm_is_called_by_the_first_that_it_has_and_two_never_share_a_name() {
        use IdentityPart::{Name, Pid, Uuid};
        let vms = [
            vm(1, Some("web"), Some("u")),
            vm(2, Some("web"), None),
            vm(3, None, None),
        ];
        let called = |by: &[IdentityPart]| labels(&vms, by);
        let (names, shared) = called(&[Uuid, Name, Pid]);
        assert_eq!(names, ["u", "web", "3-12"]);
        assert!(shared.is_empty());
        let (names, shared) = called(&[Name]);
        assert_eq!(names, ["web/1-12", "web/2-12", "3-12"]);
        assert_eq!(shared, ["web"]);
        let vms = [
            vm(1, Some("web"), None),
            vm(2, Some("web"), None),
            vm(3, Some("web/1-12"), None),
        ];
        let (names, shared) = labels(&vms, &[Name]);
        assert_eq!(names, ["web/1-12/1-12", "web/2-12", "web/1-12/3-12"]);
        assert_eq!(shared, ["web"]);
        let called = |by: &[IdentityPart]| labels(&vms, by);
        assert_eq!(called(&[Pid]).0, ["1-12", "2-12", "3-12"]);
    }
}
