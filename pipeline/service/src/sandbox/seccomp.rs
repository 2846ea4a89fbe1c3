//! Filters of system calls ([seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html)): a call that is refused gets
//! an error, and nothing is killed for it.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter_all_threads,
};

use super::calls;

/// Calls, and the arguments for which a filter matches them; each argument where there are none.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// Refuses what is dangerous and not `needed`; where it is `strict`, all that the program does not need either.
///
/// # Errors
/// Why this cannot be had here.
pub(super) fn restrict(needed: &[i64], is_strict: bool) -> Result<(), String> {
    let told = |error: seccompiler::Error| match error {
        seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error) => {
            format!("system calls cannot be filtered: {error}")
        }
        other => format!("system calls cannot be filtered: {other}"),
    };
    for filter in filters(needed, is_strict).map_err(|error| told(error.into()))? {
        apply_filter_all_threads(&filter).map_err(told)?;
    }
    Ok(())
}

fn filters(needed: &[i64], is_strict: bool) -> Result<Vec<BpfProgram>, BackendError> {
    let refused = calls::DANGEROUS.iter().filter(|it| !needed.contains(it));
    let mut refused: Calls = refused.map(|it| (*it, Vec::new())).collect();
    refused.insert(libc::SYS_clone, new_namespaces()?);
    refused.insert(libc::SYS_ioctl, typing()?);
    let (allow, refuse) = (
        SeccompAction::Allow,
        SeccompAction::Errno(errno(libc::EPERM)),
    );
    let compiled = |calls: Calls, other: &SeccompAction, these: SeccompAction| {
        SeccompFilter::new(calls, other.clone(), these, ARCH.try_into()?)?.try_into()
    };
    // Its flags are in memory, where no filter sees them: who calls it asks for `clone` then.
    let unseen = Calls::from([(libc::SYS_clone3, Vec::new())]);
    let no_such_call = SeccompAction::Errno(errno(libc::ENOSYS));
    let mut filters = vec![
        compiled(refused, &allow, refuse.clone())?,
        compiled(unseen, &allow, no_such_call)?,
    ];
    if is_strict {
        let allowed = calls::ALLOWED.iter().chain(needed);
        let allowed = allowed.map(|it| (*it, Vec::new())).collect();
        filters.push(compiled(allowed, &refuse, allow)?);
    }
    Ok(filters)
}

/// `clone` with any of the flags that make a namespace.
fn new_namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |flag: &i32| {
        let flag = u64::from(flag.unsigned_abs());
        let has = SeccompCmpOp::MaskedEq(flag);
        SeccompRule::new(vec![SeccompCondition::new(
            0,
            SeccompCmpArgLen::Qword,
            has,
            flag,
        )?])
    };
    calls::NAMESPACES.iter().map(rule).collect()
}

/// `ioctl` that types into a terminal, as if its user did.
fn typing() -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |request: &u64| {
        let is = SeccompCmpOp::Eq;
        SeccompRule::new(vec![SeccompCondition::new(
            1,
            SeccompCmpArgLen::Dword,
            is,
            *request,
        )?])
    };
    calls::TYPING.iter().map(rule).collect()
}

fn errno(number: i32) -> u32 {
    number.unsigned_abs()
}
