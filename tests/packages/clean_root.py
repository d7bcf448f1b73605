"""Debian or Ubuntu with what debootstrap puts there and nothing else, which leans on nothing of the machine at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASES = ROOT / "build" / "clean-roots"
"""A folder for each release, made once and copied."""
VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "PIP_DEFAULT_TIMEOUT", "PIP_DISABLE_PIP_VERSION_CHECK")
"""What the network of this machine needs, and no more of its environment."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
KEPT_CERTIFICATES = "/etc/ssl/machine.crt"
"""This machine's, in a root: Debian's own package writes its file anew."""


@dataclass(frozen=True, slots=True)
class Release:
    """A system that packages are installed on."""

    name: str
    archive: str = ""
    """Address of its packages; Debian's come from where this machine has its own from."""
    parts: str = "main"


DEBIAN_12, DEBIAN_13 = Release("bookworm"), Release("trixie")
UBUNTU_22_04 = Release("jammy", "http://archive.ubuntu.com/ubuntu", "main,universe")


class CleanRoot:
    """A copy in a folder, in which commands run as in a machine of its own; the network is this machine's."""

    def __init__(self, folder: Path, release: Release = DEBIAN_12) -> None:
        self.folder = folder
        output_of(["cp", "--archive", "--reflink=auto", str(base(release)), str(folder)])
        shutil.copy("/etc/resolv.conf", folder / "etc" / "resolv.conf")
        if CERTIFICATES.exists():
            kept = folder / KEPT_CERTIFICATES.lstrip("/")
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CERTIFICATES, kept)

    def run(self, script: str, user: str = "root", **variables: str) -> str:
        """Stdout of a shell's script, each line of which must succeed; what it says of a failure fails the test."""
        kept = {name: value for name in VARIABLES if (value := os.environ.get(name))}
        given = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", **kept, **variables}
        given |= {"DEBIAN_FRONTEND": "noninteractive"} | (
            {"PIP_CERT": KEPT_CERTIFICATES, "SSL_CERT_FILE": KEPT_CERTIFICATES} if CERTIFICATES.exists() else {}
        )
        chroot = [
            "chroot",
            f"--userspec={user}",
            str(self.folder),
            "env",
            "-i",
            *(f"{k}={v}" for k, v in given.items()),
        ]
        apart = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={self.folder / 'proc'}", "--kill-child"]
        return output_of([*apart, *chroot, "sh", "-euc", script])

    def install(self, *packages: str) -> None:
        """Debian's packages, and what they depend on."""
        self.run(
            f"apt-get -qq update && apt-get -qq install --yes --no-install-recommends {' '.join(packages)} >/dev/null"
        )


def base(release: Release) -> Path:
    """The root that is copied. Skips the test where it cannot be made."""
    if not shutil.which("debootstrap") or os.geteuid() != 0:
        pytest.skip("a clean root takes debootstrap and root's rights")
    made = BASES / release.name
    if not made.exists():
        BASES.mkdir(parents=True, exist_ok=True)
        unfinished = made.with_name(f"{made.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        archive = release.archive or archive_of_debian()
        components = f"--components={release.parts}"
        output_of(["debootstrap", "--variant=minbase", components, release.name, str(unfinished), archive])
        security = archive if release.archive else archive.rstrip("/") + "-security"
        places = (archive, release.name), (archive, f"{release.name}-updates"), (security, f"{release.name}-security")
        lines = [f"deb {place} {suite} {release.parts.replace(',', ' ')}\n" for place, suite in places]
        (unfinished / "etc" / "apt" / "sources.list").write_text("".join(lines), encoding="utf-8")
        dates = output_of(["apt-config", "dump", "Acquire::Check-Valid-Until", "Acquire::Check-Date"])
        (unfinished / "etc" / "apt" / "apt.conf.d" / "90dates").write_text(dates, encoding="utf-8")
        unfinished.rename(made)
    return made


def archive_of_debian() -> str:
    """Address that this machine, which runs Debian, has its own packages from."""
    told = output_of(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    return next(address for address in told.splitlines() if address.rstrip("/").endswith("/debian"))


def output_of(command: Sequence[str]) -> str:
    """What a command prints; what it says of a failure fails the test."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  the tests' own
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
