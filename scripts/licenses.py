#!/usr/bin/env python3
"""The licences of all that is linked into the program, with their texts as they stand in each crate, on standard output.

Of Rust's standard library its own toolchain tells the licences.
"""

import html
import json
import pathlib
import re
import sys

from linked import TARGET, linked, run

TEXT = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|COPYRIGHT|UNLICENSE)([-._].*)?$", re.IGNORECASE)
LGPL = pathlib.Path("/usr/share/common-licenses/LGPL-2.1")
HEAD = """\
statsfs-collector is under the Apache License, version 2.0. What is linked into it, with the licences of each:

- the standard library of Rust (MIT or Apache-2.0; https://github.com/rust-lang/rust), and what is in it: see the end;
- in static builds the GNU C Library (LGPL-2.1-or-later; https://sourceware.org/glibc): `cargo build` of the sources links
  the program again, with another one; and GCC's libgcc_eh (GPL-3.0-or-later with the GCC Runtime Library Exception);
- in those for glibc 2.17 and for aarch64 LLVM's libunwind (Apache-2.0 WITH LLVM-exception; https://llvm.org) and Zig's
  compiler-rt (MIT; https://ziglang.org; Copyright (c) Zig contributors);
- these packages of crates.io. zstd is there under the first of its two licences, BSD (LICENSE), not the GPL (COPYING).
"""


def crates_linked():
    """The packages from the registry that are linked, by name, as `cargo metadata` describes them."""
    metadata = run("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET)
    packages, names = json.loads(metadata)["packages"], linked()
    crates = [it for it in packages if it["source"] and (it["name"], it["version"]) in names]
    return sorted(crates, key=lambda it: (it["name"], it["version"]))


def of_rust():
    """The notices of Rust's standard library."""
    path = pathlib.Path(run("rustc", "--print", "sysroot").strip(), "share/doc/rust/COPYRIGHT-library.html")
    if not path.is_file():
        sys.exit(f"{path} is missing, where toolchains of rustup have the licences of Rust's standard library")
    text = html.unescape(re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8")))
    return re.sub(r"\n\s*\n", "\n\n", text).strip()


def main():
    """Writes the list, then each text once, with those whose it is."""
    crates, owners, without = crates_linked(), {}, []
    print(HEAD)
    for crate in crates:
        print(f"{crate['name']} {crate['version']}: {crate['license']} ({crate['repository']})")
        directory = pathlib.Path(crate["manifest_path"]).parent
        texts = [it for it in sorted(directory.rglob("*")) if TEXT.match(it.name) and it.is_file()]
        texts = [it for it in texts if it.suffix not in (".rs", ".c", ".h") and it.stat().st_size > 0]
        for path in texts:
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            owner = f"{crate['name']} {crate['version']}: {path.relative_to(directory)}"
            owners.setdefault(text, []).append(owner)
        if not texts:
            without.append(crate)
    kin = {it["repository"] for it in crates if it not in without}
    for crate in without:
        # MIT's names whose copyright it is; Apache's is the same everywhere.
        if "Apache-2.0" not in crate["license"] and crate["repository"] not in kin:
            sys.exit(f"{crate['name']} {crate['version']} has no text of its licence, nor has another crate of its repository")
    print("\nWithout a text of their own, under licences whose texts follow:", ", ".join(it["name"] for it in without))
    if LGPL.is_file():
        owners[LGPL.read_text(encoding="utf-8").strip()] = ["the GNU C Library, in static builds"]
    owners[of_rust()] = ["the standard library of Rust"]
    for text, of in owners.items():
        print("", "=" * 100, *of, "=" * 100, text, sep="\n")


main()
