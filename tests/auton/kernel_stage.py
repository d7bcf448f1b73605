"""A repository that wants a kernel, the settings to build and boot it by, and the script of the agents who write it.

``python -m tests.auton.kernel_stage FOLDER ARCH`` writes all three into a folder, as ``make auton-demo`` does.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from auton.repository import git
from auton.settings import Architecture
from auton.validation import CROSS
from tests.auton.git_stage import ACCEPTED, approved, call, line, new_repository, planned, write_script
from tests.auton.kernel_sources import LINK, MAKEFILE, START

PACKAGES: dict[Architecture, tuple[str, str]] = {
    "x86_64": ("gcc-x86-64-linux-gnu", "qemu-system-x86"),
    "aarch64": ("gcc-aarch64-linux-gnu", "qemu-system-arm"),
    "riscv64": ("gcc-riscv64-linux-gnu", "qemu-system-misc"),
}
"""Debian's packages of each architecture's compiler and machine."""
_SETTINGS = """\
[kernel]
arch = "{arch}"

[validation]
build_command = ["make", "ARCH={{arch}}", "CROSS={{cross}}"]
kernel = "build/{{arch}}/kernel.elf"
serial_expect = "hello from {arch}"
test_timeout = {test_timeout}
"""


def kernel_settings(arch: Architecture, test_timeout: float = 60.0) -> str:
    """``auton.toml`` for an architecture."""
    return _SETTINGS.format(arch=arch, test_timeout=test_timeout)


def missing_packages(arch: Architecture) -> list[str]:
    """Debian packages that an architecture needs and that are not installed."""
    compiler, machine = PACKAGES[arch]
    programs = ((f"{CROSS[arch]}gcc", compiler), (f"qemu-system-{arch}", machine), ("bwrap", "bubblewrap"))
    return [package for program, package in programs if shutil.which(program) is None]


def kernel_repository(folder: Path) -> Path:
    """A repository whose Makefile builds for each architecture, and which has no kernel."""
    new_repository(folder)
    (folder / "Makefile").write_text(MAKEFILE)
    git(folder, "commit", "--quiet", "--all", "--message", "Build for each architecture", at=1_000_000_001)
    return folder


def kernel_script(arch: Architecture, start: str) -> list[dict[str, Any]]:
    """Agents who write a kernel; ``start``: its assembly."""
    files = [
        call("write_file", path=f"kernel/{arch}/{name}", content=content)
        for name, content in (("start.S", start), ("link.ld", LINK[arch]))
    ]
    return [
        planned(("boot-001", f"kernel/{arch}/*")),
        line("developer", "boot-001", *files, call("submit", summary="Say hello on the serial line")),
        approved("boot-001"),
        ACCEPTED,
    ]


def main(folder: Path, arch: Architecture) -> int:
    """Ends with 1 where something that the architecture needs is not installed."""
    if missing := missing_packages(arch):
        sys.stderr.write(f"{arch}: {', '.join(missing)} of Debian is not installed\n")
        return 1
    kernel_repository(folder / "repository")
    (folder / "auton.toml").write_text(kernel_settings(arch))
    write_script(folder / "script.jsonl", kernel_script(arch, START[arch]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2]))  # type: ignore[arg-type]  # a name that is none ends in KeyError
