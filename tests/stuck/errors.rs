//! Files that answer with an error: named once, and tried as often as it may help.

use fuser::Errno;

use super::fuse::HangingFilesystem;
use super::run::Run;
use crate::common::{assert_fault, count, find_count, lacks, lines_until};

const CANNOT_BE_READ: &str =
    "cannot be read; passed over (`drop` it by name in `labels`) component=\"statsfs\"";

fn mount(test: &str, files: &[&str]) -> Option<HangingFilesystem> {
    let files: Vec<String> = files.iter().map(|it| (*it).into()).collect();
    let system = HangingFilesystem::mount(&files);
    if system.is_none() {
        lacks(test, "/dev/fuse, and root or fusermount3");
    }
    system
}

#[test]
fn what_gave_values_is_tried_at_each_sweep_and_what_never_did_ever_more_rarely() {
    let test = "what_gave_values_is_tried_at_each_sweep_and_what_never_did_ever_more_rarely";
    let [up, down, never] = ["net/va/mtu", "net/va/carrier", "net/va/speed"];
    let Some(system) = mount(test, &[up, down, never]) else {
        return;
    };
    system.fail(never, Errno::EINVAL);
    let mut run = Run::of(system, "timeout: 1m, rescan_interval: 1h");
    let [mtu, carrier] = ["net/mtu{device=/va}", "net/carrier{device=/va}"];
    run.counts.wait_for(carrier, 3);
    for errno in [Errno::EINVAL, Errno::EAGAIN, Errno::EIO, Errno::ENODEV] {
        run.system.fail(down, errno);
        run.counts.wait_for(mtu, 35);
        run.system.mend(down);
        run.counts.wait_for(carrier, 1);
    }
    let stderr = run.end(&[]);
    let [mtu, carrier, speed] = [up, down, never].map(|it| run.system.reads(it));
    assert_eq!(carrier, mtu, "read at each sweep: {stderr}");
    let sweeps = count(&stderr, "sweeps");
    // At sweeps 0, 2, 6, 14, 30, …
    assert!(
        speed <= u64::from((sweeps + 3).ilog2()),
        "{speed} of {sweeps}: {stderr}"
    );
    assert_eq!(
        find_count(&stderr, "backed_off="),
        Some(sweeps - speed),
        "{stderr}"
    );
}

#[test]
fn an_error_of_a_device_that_stays_is_named_once_counted_and_backed_off() {
    let test = "an_error_of_a_device_that_stays_is_named_once_counted_and_backed_off";
    let [capacity, current, time] = ["ps/BAT0/capacity", "ps/BAT0/current", "ps/BAT0/time"];
    let Some(system) = mount(test, &[capacity, current, time]) else {
        return;
    };
    system.fail(current, Errno::ENODEV);
    system.fail(time, Errno::ENXIO);
    let mut run = Run::of(system, "timeout: 1m, rescan_interval: 1h");
    for named in [
        "ps/BAT0/time: No such device or address (os error 6)",
        "ps/BAT0/current: No such device (os error 19)",
    ] {
        run.wait_for_log(&format!("{CANNOT_BE_READ} detail=\"{named}\""));
    }
    run.counts.wait_for("ps/capacity{device=/BAT0}", 20);
    let tried = run.system.reads(current) + run.system.reads(time);
    // The device goes: its series end, and that is no failure.
    for file in [capacity, current, time] {
        run.system.remove(file);
    }
    while run.counts.ends("ps/capacity{device=/BAT0}") == 0 {
        std::thread::yield_now();
    }
    let stderr = run.end(&[]);
    assert!(!stderr.contains("cannot be read"), "named once: {stderr}");
    let sweeps = count(&stderr, "sweeps");
    assert!(
        tried <= 2 * u64::from((sweeps + 3).ilog2()),
        "{tried} {stderr}"
    );
    assert_eq!(count(&stderr, "files_failed"), tried, "{stderr}");
}

#[test]
fn the_only_sweep_names_the_files_and_their_error() {
    let test = "the_only_sweep_names_the_files_and_their_error";
    let [bad, good] = ["ib/mlx5_0/rcv", "ib/mlx5_1/rcv"];
    let Some(system) = mount(test, &[bad, good]) else {
        return;
    };
    system.fail(bad, Errno::EINVAL);
    let mut run = Run::with(system, "timeout: 1m", &["--once"]);
    let stderr = run.ends(&[]);
    let named = "ib/mlx5_0/rcv: Invalid argument (os error 22)";
    let named = format!("{CANNOT_BE_READ} detail=\"{named}\"");
    assert!(stderr.contains(&named), "{stderr}");
    run.counts.wait_until("ib/rcv{device=/mlx5_1}", 1);
    assert_fault(
        "a file cannot be read, or is no number",
        "its own value, until it can; it is tried ever more rarely, and at each rescan; one that gave values, at each sweep for an hour",
        &stderr,
        &["files_failed=1"],
    );
}

#[test]
fn each_error_is_named_however_many_files_have_another_one() {
    let test = "each_error_is_named_however_many_files_have_another_one";
    let speeds = (0..9).map(|number| format!("net/eth{number}/speed"));
    let speeds: Vec<String> = speeds.collect();
    let [temp, gone, mtu] = ["ps/BAT0/temp", "ps/BAT0/limit", "zz/d/mtu"];
    for arguments in [&["--once"][..], &[]] {
        let files: Vec<&str> = speeds.iter().map(String::as_str).collect();
        let Some(system) = mount(test, &[&files[..], &[temp, gone, mtu]].concat()) else {
            return;
        };
        speeds.iter().for_each(|it| system.fail(it, Errno::EINVAL));
        system.fail(temp, Errno::ENODATA);
        // A file that is there, whatever it says.
        system.fail(gone, Errno::ENOENT);
        let mut run = Run::with(system, "timeout: 1m, rescan_interval: 1h", arguments);
        let mut named = vec![
            "ps/BAT0/limit: No such file or directory (os error 2)",
            "net/eth0/speed, net/eth1/speed, net/eth2/speed and 6 more: Invalid argument (os error 22)",
            "ps/BAT0/temp: No data available (os error 61)",
        ];
        lines_until(&mut run.stderr, |line| {
            named.retain(|it| !line.ends_with(&format!("{CANNOT_BE_READ} detail=\"{it}\"")));
            named.is_empty()
        });
        let stderr = if arguments.is_empty() {
            run.end(&[])
        } else {
            run.ends(&[])
        };
        assert!(count(&stderr, "files_failed") >= 11, "{stderr}");
    }
}
