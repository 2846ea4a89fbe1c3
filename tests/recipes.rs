//! docs/recipes.md: a whole configuration in each section, and the points that it gives where some are shown. That all of
//! them are valid, documentation.rs says.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use pipeline::testing::blocks;
use serde_yaml::Mapping;

use crate::common::{BINARY, lines, repository, spawn, text};

/// Each section's configuration, and the points that it shows.
fn recipes() -> Vec<(String, String, Vec<String>)> {
    let page = fs::read_to_string(repository("docs/recipes.md")).unwrap();
    let sections = page.split("\n## ").skip(1).map(|section| {
        let title = section.lines().next().unwrap().to_owned();
        let blocks = blocks(section);
        let of = |kind: &str| -> Vec<String> {
            let blocks = blocks.iter().filter(|(info, _)| info == kind);
            blocks.map(|(_, block)| block.clone()).collect()
        };
        let configuration = of("yaml");
        assert_eq!(configuration.len(), 1, "{title}");
        let drawings = of("text").join("\n");
        let points = drawings.lines().filter(|line| line.contains(" counter "));
        let points = points.map(str::to_owned).collect();
        (title, configuration.concat(), points)
    });
    sections.collect()
}

#[test]
fn each_recipe_is_a_whole_configuration() {
    let recipes = recipes();
    for (title, configuration, _) in &recipes {
        let keys: Mapping = serde_yaml::from_str(configuration).unwrap();
        assert!(keys.contains_key("service"), "{title}");
    }
    let titles: Vec<_> = recipes.iter().map(|(title, ..)| title.as_str()).collect();
    let expected = [
        "KVM host",
        "Network",
        "InfiniBand",
        "Containers",
        "Google Cloud",
        "Prometheus",
        "Gateway",
    ];
    assert_eq!(titles, expected);
}

/// A host's sysfs, below this directory: a device of each class, to which a link leads.
fn sysfs(host: &Path) {
    for (path, value) in [
        ("net/eth0/statistics/rx_bytes", "228857533"),
        ("net/eth0/statistics/rx_crc_errors", "0"),
        ("net/eth0/carrier_changes", "2"),
        ("net/eth0/carrier", "1"),
        ("net/veth1/statistics/rx_bytes", "7"),
        ("infiniband/mlx5_0/ports/1/counters/port_rcv_data", "1000"),
        ("infiniband/mlx5_0/ports/1/counters/symbol_error", "0"),
        ("infiniband/mlx5_0/ports/1/hw_counters/out_of_sequence", "3"),
    ] {
        let path = host.join("sys/devices/virtual").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{value}\n")).unwrap();
    }
    for (class, device) in [("net", "eth0"), ("net", "veth1"), ("infiniband", "mlx5_0")] {
        let class_directory = host.join("sys/class").join(class);
        fs::create_dir_all(&class_directory).unwrap();
        let device_directory = format!("../../devices/virtual/{class}/{device}");
        symlink(device_directory, class_directory.join(device)).unwrap();
    }
}

#[test]
fn a_recipe_gives_the_points_that_it_shows_tried_as_the_page_says() {
    let host = tempfile::tempdir().unwrap();
    sysfs(host.path());
    let mut shown = 0;
    for (title, configuration, points) in recipes() {
        if points.is_empty() {
            continue;
        }
        let mut command = Command::new(BINARY);
        command.args(["--config", "-", "--once"]);
        command.args(["--set", "exporters={stdout: {}}"]);
        command.args(["--set", "service.pipelines.metrics.exporters=[stdout]"]);
        command.arg("--set");
        command.arg(format!("service.host_root={}", host.path().display()));
        let output = spawn(command, &configuration).wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{title}: {stderr}");
        let given = lines(&output.stdout);
        for point in &points {
            assert!(given.contains(point), "{title}: {point}: {given:#?}");
        }
        let lists_other = given
            .iter()
            .any(|line| line.contains("veth1") || line.starts_with("net/carrier{"));
        assert!(!lists_other, "{title}: {given:#?}");
        shown += 1;
    }
    assert_eq!(shown, 2);
}
