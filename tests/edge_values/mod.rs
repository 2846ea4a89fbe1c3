//! Everything odd that a tree can hold (reference: the table of edge values), made for real and swept by the binary.

mod names;
mod numbers;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use self::names::odd_names;
use crate::common::{config, is_root, lines, run, text};

const U64_MAX_DOUBLE: &str = "1.8446744073709552e19";

/// Name, content, and the value that is read out of it; none where it is skipped, with the reason.
#[allow(clippy::too_many_lines)] // a table
fn values() -> Vec<(&'static str, Vec<u8>, Result<&'static str, &'static str>)> {
    let text = |name, content: &str, value| (name, content.as_bytes().to_vec(), value);
    let mut all = vec![
        text("v_empty", "", Err("empty")),
        text("v_newline", "\n", Err("empty")),
        text("v_blank", "  \n", Err("empty")),
        text("v_nonl", "42", Ok("42")),
        text("v_nl", "42\n", Ok("42")),
        text("v_padded", "  42  \n", Ok("42")),
        text("v_tab", "\t42\t\n", Ok("42")),
        text("v_crlf", "42\r\n", Ok("42")),
        text("v_two_nl", "42\n\n", Ok("42")),
        text("v_minus1", "-1\n", Ok("-1")),
        text("v_minus0", "-0\n", Ok("0")),
        text("v_zeros", "007\n", Ok("7")),
        text("v_plus", "+5\n", Ok("5")),
        text(
            "v_i64max",
            "9223372036854775807\n",
            Ok("9223372036854775807"),
        ),
        text(
            "v_i64min",
            "-9223372036854775808\n",
            Ok("-9223372036854775808"),
        ),
        text(
            "v_i64max1",
            "9223372036854775808\n",
            Ok("9.223372036854776e18"),
        ),
        text("v_u64max", "18446744073709551615\n", Ok(U64_MAX_DOUBLE)),
        text(
            "v_40digits",
            "1234567890123456789012345678901234567890\n",
            Err("out_of_range"),
        ),
        text("v_hex", "0x1f\n", Err("not_numeric")),
        text("v_hexbare", "1f\n", Err("not_numeric")),
        text("v_octal", "0o17\n", Err("not_numeric")),
        text("v_under", "1_000\n", Err("not_numeric")),
        text("v_float", "1.5\n", Err("not_numeric")),
        text("v_exp", "1e3\n", Err("not_numeric")),
        text("v_inf", "inf\n", Err("not_numeric")),
        text("v_nan", "nan\n", Err("not_numeric")),
    ];
    for word in [
        "Y",
        "N",
        "y",
        "true",
        "on",
        "enabled",
        "[always] madvise never",
        "RUNNABLE",
        "some text",
        "<none>",
        "N/A (no PMA)",
        "max",
        "5 kB",
        "42 %",
        "hits 5",
    ] {
        let name = Box::leak(
            format!(
                "w_{}",
                word.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
            )
            .into_boxed_str(),
        );
        all.push(text(name, word, Err("not_numeric")));
    }
    for several in ["1 2", "1\n2\n3\n", "hits 5\nmisses 6\n", "12 N0=5 N1=7"] {
        let name = Box::leak(
            format!(
                "m_{}",
                several.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
            )
            .into_boxed_str(),
        );
        all.push(text(name, several, Err("multi_value")));
    }
    all.extend([
        ("v_bom", b"\xef\xbb\xbf42\n".to_vec(), Err("not_numeric")),
        ("v_nul", b"4\x002\n".to_vec(), Err("not_numeric")),
        ("v_zerobytes", vec![0; 16], Err("not_numeric")),
        ("v_binary", vec![0xff, 0xfe, 0x00, 0x80], Err("not_numeric")),
        ("v_huge_digits", vec![b'1'; 1 << 20], Err("too_large")),
        (
            "v_4096",
            [vec![b'0'; 4094], b"7\n".to_vec()].concat(),
            Ok("7"),
        ),
        (
            "v_4097",
            [vec![b'0'; 4095], b"7\n".to_vec()].concat(),
            Err("too_large"),
        ),
    ]);
    all
}

#[test]
fn every_row_of_the_table_is_read_or_skipped_as_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let s = directory.path().join("s");
    fs::create_dir(&s).unwrap();
    let mut expected = Vec::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, content, value) in values() {
        fs::write(s.join(name), content).unwrap();
        match value {
            Ok(value) => expected.push(format!("s/{name}{{device=\"\"}} {value} gauge")),
            Err(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    File::create(s.join("v_huge_sparse"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    *reasons.entry("too_large").or_default() += 1;
    for (name, mode) in [("v_unreadable", 0), ("v_writeonly", 0o200)] {
        fs::write(s.join(name), "1\n").unwrap();
        fs::set_permissions(s.join(name), fs::Permissions::from_mode(mode)).unwrap();
        if is_root() {
            expected.push(format!("s/{name}{{device=\"\"}} 1 gauge"));
        } else {
            *reasons.entry("permission").or_default() += 1;
        }
    }
    expected.extend(what_is_no_file_of_a_value(directory.path()));
    expected.extend(odd_names(&s));

    let output = run(
        &config(
            &format!("{{root: {}}}", directory.path().display()),
            "metadata: {}",
            "{}",
        ),
        &["--once"],
    );
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let mut found = lines(&output.stdout);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let counted = |reason: &str, count: usize| {
        assert!(
            stderr.contains(&format!("{reason}={count}")),
            "{reason}={count}: {stderr}"
        );
    };
    reasons
        .iter()
        .for_each(|(reason, count)| counted(reason, *count));
    assert!(stderr.contains("deeper than `limits.depth`"), "{stderr}");
    assert!(
        stderr.lines().count() < 20,
        "a line a cause, not one a file: {stderr}"
    );
    // So that the temporary directory can be removed by its owner.
    for name in ["d_noexec", "d_noread"] {
        fs::set_permissions(
            directory.path().join("d").join(name),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
    }
}

/// FIFO, socket, links, loops, depth, width, hidden files; gives the lines that do come out.
fn what_is_no_file_of_a_value(root: &Path) -> Vec<String> {
    let s = root.join("s");
    rustix::fs::mknodat(CWD, s.join("fifo"), FileType::Fifo, Mode::from(0o644), 0).unwrap();
    drop(UnixListener::bind(s.join("sock")).unwrap());
    symlink("nowhere", s.join("dangling")).unwrap();
    symlink("loop_self", s.join("loop_self")).unwrap();
    symlink("v_padded", s.join("link_file")).unwrap();
    symlink("/etc", s.join("link_outside")).unwrap();
    fs::create_dir_all(root.join("loops/la")).unwrap();
    fs::create_dir_all(root.join("loops/lb")).unwrap();
    symlink("../lb", root.join("loops/la/to_b")).unwrap();
    symlink("../la", root.join("loops/lb/to_a")).unwrap();
    fs::write(s.join(".hidden"), "1\n").unwrap();
    fs::write(root.join("file_at_root"), "1\n").unwrap();
    fs::create_dir(root.join("empty_subsystem")).unwrap();
    let mut expected = Vec::new();

    fs::create_dir(root.join("deep")).unwrap();
    let mut below = rustix::fs::open(
        root.join("deep"),
        rustix::fs::OFlags::DIRECTORY,
        Mode::empty(),
    )
    .unwrap();
    for level in 1..=400 {
        rustix::fs::mkdirat(&below, "sub_directory", Mode::from(0o755)).unwrap();
        below = rustix::fs::openat(
            &below,
            "sub_directory",
            rustix::fs::OFlags::DIRECTORY,
            Mode::empty(),
        )
        .unwrap();
        if level == 15 || level == 16 {
            let file = rustix::fs::openat(
                &below,
                "at",
                rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
                Mode::from(0o644),
            )
            .unwrap();
            rustix::io::write(&file, b"1\n").unwrap();
        }
    }
    expected.push(format!(
        "deep/at{{device={}}} 1 gauge",
        "/sub_directory".repeat(15)
    ));

    for wide in 0..2000 {
        fs::create_dir_all(root.join("wide")).unwrap();
        fs::write(root.join(format!("wide/f{wide}")), "1\n").unwrap();
        expected.push(format!("wide/f{wide}{{device=\"\"}} 1 gauge"));
    }
    for many in 0..300 {
        fs::create_dir_all(root.join(format!("many/d{many}"))).unwrap();
        fs::write(root.join(format!("many/d{many}/f")), "1\n").unwrap();
        expected.push(format!("many/f{{device=/d{many}}} 1 gauge"));
    }
    for (name, mode) in [("d_noexec", 0o644), ("d_noread", 0o311), ("fine", 0o755)] {
        let device = root.join("d").join(name);
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("f"), "1\n").unwrap();
        fs::set_permissions(&device, fs::Permissions::from_mode(mode)).unwrap();
        if is_root() || name == "fine" {
            expected.push(format!("d/f{{device=/{name}}} 1 gauge"));
        }
    }
    expected
}
