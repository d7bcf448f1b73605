"""A release's papers beside its packages: ``list_release.py dist``, after all of them were built.

Writes the bill of materials, the licences and the digests, and says what stands against a release; with ``--draft``
that is said and ends nothing. With ``--tree`` that is all, and of the tree alone: what no build need be waited for.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import tomli
from bill_of_materials import Part, cyclonedx_of, parts_of
from faults import faults_of, faults_of_tree

ROOT = Path(__file__).parents[2]
HEADER = """\
What the packages hold of others. The wheels hold what is linked into their extension; they name the rest as packages to
install. The Debian package holds all of it, with the licences' texts in the folders that end in .dist-info.
"""


def main() -> None:
    """Write the papers; exit with 1 where something stands against a release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path)
    parser.add_argument("--draft", action="store_true", help="only say what stands against a release")
    parser.add_argument("--tree", action="store_true", help="look at the tree alone, and write nothing")
    arguments = parser.parse_args()
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    faults = list(faults_of_tree(ROOT, version)) if arguments.tree else faults_of(ROOT, arguments.dist, version)
    for fault in faults:
        print(f"against a release: {fault}")
    if faults and not arguments.draft:
        sys.exit(1)
    if not arguments.tree:
        write_papers(arguments.dist, project["name"], version)


def write_papers(dist: Path, name: str, version: str) -> None:
    """Files beside the packages."""
    parts = parts_of(
        next((ROOT / "build" / "deb" / "root").glob("usr/lib/weos-engine/lib/python3.*/site-packages")), linked()
    )
    engine = next(part for part in parts if part.name == name)
    (dist / f"weos-engine-{version}.cdx.json").write_text(cyclonedx_of(engine, parts), encoding="utf-8")
    (dist / "LICENCES.txt").write_text(licences(parts), encoding="utf-8")
    sums = digests(dist)
    (dist / "SHA256SUMS").write_text(sums, encoding="utf-8")
    print(sums, end="")


def linked() -> list[Part]:
    """What is compiled into the extension: clang's C++ library and what binds it to Python."""
    clang = re.search(r"clang version (\d+\.\d+\.\d+)", told("-m", "ziglang", "c++", "--version"))
    if clang is None:
        sys.exit("ziglang does not tell the version of its clang")
    room = next((ROOT / "build" / "wheel").glob("cp3*/venv/lib/python3.*/site-packages"))
    pybind11 = next(found for found in distributions(path=[str(room)]) if found.metadata["Name"] == "pybind11")
    held = "wheels, Debian package"
    return [
        Part("libc++", clang[1], "Apache-2.0 WITH LLVM-exception", "generic", held),
        Part("pybind11", pybind11.version, "BSD-3-Clause", "pypi", held),
    ]


def licences(parts: list[Part]) -> str:
    """A table for people."""
    rows = [f"{part.name:28} {part.version:14} {part.licence or 'none told':44} {part.holds}" for part in parts]
    return "\n".join((HEADER, *rows, ""))


def digests(dist: Path) -> str:
    """A line for each file, as ``sha256sum --check`` reads it."""
    files = sorted(path for path in dist.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def told(*arguments: str) -> str:
    """What a module of this environment prints."""
    return subprocess.run((sys.executable, *arguments), capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
