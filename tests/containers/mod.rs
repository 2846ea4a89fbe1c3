//! The commands of docs/containers.md, each run in namespaces as an engine makes them.

use std::process::{Child, Command, Output, Stdio};

use pipeline::testing::blocks;
use serde_yaml::Value;

use crate::common::{BINARY, has_program, is_root, lacks, lines_until, repository, spawn, text};

/// What a command of an engine, or a pod, asks for.
#[derive(Debug, Default)]
struct Recipe {
    /// `HOST:INSIDE`.
    mounts: Vec<String>,
    user: String,
    capabilities: Vec<String>,
    has_host_pids: bool,
}

impl Recipe {
    fn docker(command: &str) -> Recipe {
        let mut recipe = Recipe::default();
        let mut words = command.split_whitespace().filter(|it| *it != "\\");
        while let Some(word) = words.next() {
            match word {
                "docker" | "run" | "--read-only" | "IMAGE" => {}
                "-v" => {
                    let mount = words.next().unwrap().strip_suffix(":ro").unwrap();
                    recipe.mounts.push(mount.to_owned());
                }
                "--user" => recipe.user = words.next().unwrap().into(),
                "--cap-drop" => assert_eq!(words.next(), Some("ALL")),
                "--cap-add" => {
                    let capability = words.next().unwrap().to_lowercase();
                    recipe.capabilities.push(capability);
                }
                "--pid" => recipe.has_host_pids = words.next() == Some("host"),
                other => panic!("what is {other}?"),
            }
        }
        recipe
    }

    fn pod(spec: &str) -> Recipe {
        let spec: Value = serde_yaml::from_str(spec).unwrap();
        let container = &spec["containers"][0];
        let security = &container["securityContext"];
        assert_eq!(security["capabilities"]["drop"][0], "ALL");
        let user = security["runAsUser"].as_u64().unwrap();
        let volumes = spec["volumes"].as_sequence().unwrap();
        let mounts = container["volumeMounts"].as_sequence().unwrap().iter();
        let mounts = mounts.map(|mount| {
            let volume = volumes.iter().find(|it| it["name"] == mount["name"]);
            let host = volume.unwrap()["hostPath"]["path"].as_str().unwrap();
            format!("{host}:{}", mount["mountPath"].as_str().unwrap())
        });
        Recipe {
            mounts: mounts.collect(),
            user: format!("{user}:{user}"),
            ..Recipe::default()
        }
    }

    /// One sweep with this configuration, which has to succeed: what it prints, and its logs.
    fn run(&self, config: &str) -> (String, String) {
        let output = self.attempt(config);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{self:?}: {stderr}");
        (stdout, stderr)
    }

    fn attempt(&self, config: &str) -> Output {
        let root = tempfile::tempdir().unwrap();
        let (user, group) = self.user.split_once(':').unwrap();
        let added = self.capabilities.iter().map(|it| format!(",+{it}"));
        let added: String = added.collect();
        let privileges = format!(
            "--reuid={user} --regid={group} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all{added}"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "--ipc", "--net"]);
        if !self.has_host_pids {
            command.args(["--pid", "--fork", "--kill-child"]);
        }
        command
            .arg("sh")
            .arg(repository("tests/containers/container.sh"))
            .arg(root.path())
            .args([BINARY, &privileges])
            .args(&self.mounts)
            .args(["--", "--once", "--config", "-"]);
        spawn(command, config).wait_with_output().unwrap()
    }
}

/// The commands and the pod, each with the configuration that follows it; the pod has that of KVM and of the network.
fn recipes() -> [(Recipe, String); 5] {
    let document = std::fs::read_to_string(repository("docs/containers.md")).unwrap();
    let all = blocks(&document);
    let of = |kind: &str| {
        let blocks = all.iter().filter(|(info, _)| info == kind);
        blocks.map(|(_, text)| text.clone()).collect::<Vec<_>>()
    };
    let (commands, configs, pods) = (of("sh docker"), of("yaml"), of("yaml kubernetes"));
    let [net, kvm, other] = <[String; 3]>::try_from(configs).unwrap();
    let [for_net, for_kvm, for_other] = <[String; 3]>::try_from(commands).unwrap();
    [
        (Recipe::docker(&for_net), net.clone()),
        (Recipe::docker(&for_kvm), kvm.clone()),
        (Recipe::docker(&for_other), other),
        (Recipe::pod(&pods[0]), net),
        (Recipe::pod(&pods[0]), kvm),
    ]
}

/// Reported on standard error, where it is not so.
fn can_make_namespaces(test: &str) -> bool {
    let programs = ["unshare", "setpriv", "ldd", "ip"];
    let has_all = programs.into_iter().all(has_program);
    let is_described = ["/etc/machine-id", "/etc/hostname", "/etc/os-release"]
        .into_iter()
        .all(|it| std::path::Path::new(it).exists());
    let made = is_root() && {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "sh", "-c"]);
        command.arg("mount -t debugfs none /sys/kernel/debug");
        command
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|it| it.success())
    };
    if !(has_all && is_described && made) {
        lacks(
            test,
            "root that may make namespaces and mount, `unshare`, `setpriv`, `ip`, and a host with /etc/machine-id",
        );
    }
    has_all && is_described && made
}

fn interfaces() -> Vec<String> {
    let all = std::fs::read_dir("/sys/class/net").unwrap();
    let names = all.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn each_command_of_the_document_shows_the_host() {
    let test = "each_command_of_the_document_shows_the_host";
    if !can_make_namespaces(test) {
        return;
    }
    let machine_id = std::fs::read_to_string("/etc/machine-id").unwrap();
    let host_name = std::fs::read_to_string("/etc/hostname").unwrap();
    for (recipe, config) in recipes() {
        if recipe.has_host_pids {
            continue;
        }
        let config = config.replace("stdout: {}", "stdout: {format: json}");
        let (stdout, stderr) = recipe.run(&config);
        assert!(!stderr.contains("the host is not described"), "{stderr}");
        let is_kvm = config.contains("debugfs:kvm");
        if is_kvm {
            // The file system is found and known without its host's `proc`; whether KVM is there is the host's.
            let (there, missing) = (
                "below /host/sys/kernel/debug/kvm (debugfs)",
                "debugfs:kvm (no such directory: /host/sys/kernel/debug/kvm)",
            );
            assert!(
                stderr.contains(there) || stderr.contains(missing),
                "{stderr}"
            );
        } else {
            assert!(
                stderr.contains("below /host/sys/class/net (sysfs)"),
                "{stderr}"
            );
            for interface in interfaces() {
                let label = format!("\"stringValue\":\"{interface}\"");
                assert!(stdout.contains(&label), "{interface}: {stdout} {stderr}");
            }
        }
        if !stdout.is_empty() {
            assert!(stdout.contains(machine_id.trim()), "{stdout}");
            assert!(
                stdout.contains(&format!("\"{}\"", host_name.trim())),
                "{stdout}"
            );
        }
    }
}

#[test]
fn a_mount_of_sys_alone_is_as_quick_and_says_what_to_mount() {
    let test = "a_mount_of_sys_alone_is_as_quick_and_says_what_to_mount";
    if !can_make_namespaces(test) {
        return;
    }
    let [(mut recipe, config), ..] = recipes();
    recipe.mounts.retain(|it| it == "/sys:/host/sys");
    let json = config.replace("stdout: {}", "stdout: {format: json}");
    let ids = [(); 2].map(|()| {
        let (stdout, stderr) = recipe.run(&json);
        let missing = "missing=\"host.id (/host/etc/machine-id), host.name (/host/etc/hostname)\"";
        assert!(stderr.contains(missing), "{stderr}");
        // Files stay open on sysfs.
        assert!(
            stderr.contains("below /host/sys/class/net (sysfs)"),
            "{stderr}"
        );
        assert!(!stdout.contains("\"host.id\"") && !stdout.contains("a container of many"));
        let (_, id) = stdout.split_once("\"service.instance.id\"").unwrap();
        let id = id.split('"').nth(5).unwrap().to_owned();
        assert!(id.len() == 36, "{stdout}");
        id
    });
    assert_eq!(ids[0], ids[1], "of this boot");
    // A name that is not there is named as it was looked for.
    let elsewhere = config.replace("/sys/class/infiniband", "/sys/class/no-such-class");
    let (_, stderr) = recipe.run(&elsewhere);
    let looked_at = "no such directory: /host/sys/class/no-such-class";
    assert!(stderr.contains(looked_at), "{stderr}");
}

/// A process in a network namespace of its own, with a sysfs of it and an interface `other-one`.
fn another_container() -> Child {
    let script = "mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link set lo up \
         && ip link add other-one type veth peer name other-two && echo ready && exec cat";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-c", script]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.as_mut().unwrap());
    lines_until(&mut lines, |line| line == "ready");
    child
}

#[test]
fn the_root_of_another_process_shows_its_network_and_not_the_host_s() {
    let test = "the_root_of_another_process_shows_its_network_and_not_the_host_s";
    if !can_make_namespaces(test) {
        return;
    }
    let mut other = another_container();
    let [_, _, (recipe, config), ..] = recipes();
    let config = config.replace("${env:PID:-1}", &other.id().to_string());
    let (stdout, stderr) = recipe.run(&config);
    assert!(stdout.contains("device=other-one"), "{stdout} {stderr}");
    for interface in interfaces().iter().filter(|it| *it != "lo") {
        let label = format!("device={interface}}}");
        assert!(!stdout.contains(&label), "{interface}: {stdout}");
    }
    // Without the capability it is refused, which is said.
    let mut without = recipe;
    without.capabilities.clear();
    let stderr = text(&without.attempt(&config).stderr);
    assert!(stderr.contains("permission denied"), "{stderr}");
    other.kill().unwrap();
    other.wait().unwrap();
}
