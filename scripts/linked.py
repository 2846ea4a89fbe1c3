"""What is linked into the program, for scripts/licenses.py and scripts/sbom.py."""

import subprocess

TARGET = "x86_64-unknown-linux-gnu"


def run(*command):
    """What a command says."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def linked():
    """(name, version) of each package, those of this repository among them, as `cargo tree` says: normal dependencies with
    the features that the program is built with, no macros, no tests and no build scripts."""
    edges = ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    tree = run("cargo", "tree", "--locked", "--package", "statsfs-collector", "--target", TARGET, *edges)
    packages = (line.split()[:2] for line in tree.splitlines() if line)
    return {(name, version.removeprefix("v")) for name, version in packages}
