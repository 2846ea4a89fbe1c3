#!/usr/bin/env python3
"""Of a CycloneDX file by cargo-cyclonedx, on standard input, what is linked, on standard output.

cargo-cyclonedx lists macros, build scripts and what tests alone have turned on as well, and names the folder of this host.
"""

import json
import pathlib
import sys

from linked import linked


def main():
    """Writes the file with the components that are linked, and what each depends on of them."""
    text = sys.stdin.read().replace(f"file://{pathlib.Path.cwd()}", "file:///src")
    sbom, packages = json.loads(text), linked()
    application = sbom["metadata"]["component"]
    sbom["components"] = [it for it in sbom["components"] if (it["name"], it["version"]) in packages]
    found = {(it["name"], it["version"]) for it in [application, *sbom["components"]]}
    if found != packages:
        sys.exit(f"cargo-cyclonedx does not list {packages - found}")
    references = {it["bom-ref"] for it in [application, *sbom["components"]]}
    dependencies = [it for it in sbom["dependencies"] if it["ref"] in references]
    for it in dependencies:
        it["dependsOn"] = [of for of in it.get("dependsOn", []) if of in references]
    sbom["dependencies"] = dependencies
    json.dump(sbom, sys.stdout, indent=2)
    print()


main()
