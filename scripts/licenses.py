#!/usr/bin/env python3
"""The licences of all that is linked into the program, with their texts as they stand in each crate, on standard output.

It reads `cargo metadata`: normal dependencies of the program from the target on, no tests and no build scripts.
"""

import json
import pathlib
import re
import subprocess

TARGET = "x86_64-unknown-linux-gnu"
TEXT = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|COPYRIGHT|UNLICENSE)([-._].*)?$", re.IGNORECASE)
HEAD = """\
statsfs-collector is under the Apache License, version 2.0. What is linked into it, with the licences of each:

- the standard library of Rust (MIT or Apache-2.0; https://github.com/rust-lang/rust);
- in static builds the GNU C Library (LGPL-2.1-or-later; https://sourceware.org/glibc): `cargo build` of the sources links
  the program again, with another one;
- these packages of crates.io.
"""


def linked():
    """The packages from the registry that are linked, by name."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    is_macro = lambda it: any("proc-macro" in target["kind"] for target in it["targets"])
    found, waiting = set(), [root]
    while waiting:
        of = waiting.pop()
        if of in found or is_macro(packages[of]):
            continue
        found.add(of)
        for dependency in nodes[of]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    crates = [packages[of] for of in found if packages[of]["source"]]
    return sorted(crates, key=lambda it: (it["name"], it["version"]))


def main():
    """Writes the list, then each text once, with those whose it is."""
    crates, owners, without = linked(), {}, []
    print(HEAD)
    for crate in crates:
        print(f"{crate['name']} {crate['version']}: {crate['license']} ({crate['repository']})")
        directory = pathlib.Path(crate["manifest_path"]).parent
        texts = [it for it in sorted(directory.rglob("*")) if TEXT.match(it.name) and it.is_file()]
        for path in texts:
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            if path.suffix not in (".rs", ".c", ".h") and text:
                owner = f"{crate['name']} {crate['version']}: {path.relative_to(directory)}"
                owners.setdefault(text, []).append(owner)
        if not texts:
            without.append(crate["name"])
    print("\nWithout a text of their own, under licences whose texts follow:", ", ".join(without))
    for text, of in owners.items():
        print("", "=" * 100, *of, "=" * 100, text, sep="\n")


main()
