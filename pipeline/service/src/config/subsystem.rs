//! What is meant by a subsystem that nobody knows.

use std::collections::BTreeSet;

use pipeline::config::Pattern;

/// Of the subsystems that are known, the one that is meant by this name of what stands at `root`; none if the name is one of
/// them, or if it may be that of somebody's own tree.
pub(crate) fn near_subsystem<'a>(
    name: &str,
    root: &str,
    known: &'a BTreeSet<String>,
) -> Option<&'a str> {
    let is_match = |it: &String| Pattern::glob(it).is_ok_and(|glob| glob.is_match(name));
    if known.contains(name) || known.iter().any(is_match) {
        return None;
    }
    let is_kernels = root.starts_with("/sys/") || (!root.starts_with('/') && root.contains(':'));
    let mut parts = root.rsplit(['/', ':']);
    let of_root = parts.find_map(|part| known.get(part));
    of_root
        .filter(|_| is_kernels)
        // A short name is near to many.
        .or_else(|| misspelt(name, known).filter(|_| is_kernels || name.len() > 4))
        .map(String::as_str)
}

fn misspelt<'a>(name: &str, known: &'a BTreeSet<String>) -> Option<&'a String> {
    let near = known.iter().map(|it| (strsim::osa_distance(name, it), it));
    let (distance, nearest) = near.min()?;
    (distance <= nearest.len() / 3).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subsystem_is_near_by_its_root_or_by_its_spelling_but_one_of_an_own_tree_is_not() {
        let known = ["net", "infiniband", "block", "{kvm,vm}"].map(String::from);
        let known = BTreeSet::from(known);
        let near = |name: &str, root: &str| near_subsystem(name, root, &known);
        assert_eq!(near("ib", "/sys/class/infiniband"), Some("infiniband"));
        assert_eq!(near("disks", "/sys/block"), Some("block"));
        assert_eq!(near("nett", "/sys/class/x"), Some("net"));
        assert_eq!(near("infinband", "/var/lib/tree"), Some("infiniband"));
        for (name, root) in [
            ("infiniband", "/sys/class/infiniband"),
            ("vm", "/sys/kernel/debug/kvm"),
            ("nut", "/var/lib/net"),
            ("mine", "/sys/class/mine"),
        ] {
            assert_eq!(near(name, root), None, "{name}");
        }
    }
}
