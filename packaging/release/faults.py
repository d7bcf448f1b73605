"""What stands against a release: versions that differ, changes in no commit or no changelog, missing packages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

SUPPORTED = tuple(f"cp3{minor}" for minor in (10, 11, 12, 13))
"""Pythons without whose wheels there is no release."""


def faults_of(root: Path, dist: Path, version: str) -> list[str]:
    """Each in a line for whoever releases; empty: nothing stands against it."""
    return [*faults_of_tree(root, version), *_faults_of_packages(dist, version)]


def faults_of_tree(root: Path, version: str) -> Iterator[str]:
    """Those that are known before anything is built."""
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'"
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)^## ", changelog, re.MULTILINE | re.DOTALL)
    if unreleased and unreleased[1].strip():
        yield "CHANGELOG.md tells of changes that are unreleased"
    tags = _git(root, "tag", "--points-at", "HEAD")
    if f"v{version}" not in tags:
        yield f"the commit has no tag v{version}"
    if _git(root, "status", "--porcelain"):
        yield "the tree has changes that are not committed"


def _faults_of_packages(dist: Path, version: str) -> Iterator[str]:
    wanted = [f"weos_engine-{version}-{python}-{python}-manylinux_*.whl" for python in SUPPORTED]
    wanted += [
        f"weos_client-{version}-py3-none-any.whl",
        f"weos_engine-{version}.tar.gz",
        f"weos-engine_{version}-*.deb",
    ]
    for pattern in wanted:
        if len(found := sorted(dist.glob(pattern))) != 1:
            yield f"{len(found)} files are {pattern} in {dist}, not one"
    for path in sorted(dist.glob("weos[_-]*")):
        if not re.match(rf"weos[_-]\w+?[_-]{re.escape(version)}\b", path.name):
            yield f"{path.name} is of another version than {version}"


def _git(root: Path, *arguments: str) -> list[str]:
    told = subprocess.run(("git", *arguments), cwd=root, capture_output=True, text=True, check=True)
    return told.stdout.splitlines()
