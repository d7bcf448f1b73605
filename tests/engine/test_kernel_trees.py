"""Paths that lead through the kernel's own trees, however they are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.host.kernel_trees import leads_through_kernel


@pytest.mark.parametrize(
    "path",
    [
        *("/proc/self/cwd/q.gguf", "/proc/q.gguf", "/sys/q.gguf", "/dev/q.gguf", "/dev/../proc/self/cwd/q.gguf"),
        *("/usr/../proc/self/root/tmp/q.gguf", "/dev/fd/3/q.gguf", "/proc"),
    ],
)
def test_kernel_trees_are_seen_wherever_they_lead(path: str) -> None:
    assert leads_through_kernel(Path(path))


def test_links_are_followed_to_them(tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to("/proc/self/cwd")
    (tmp_path / "there").symlink_to("here")
    (tmp_path / "up").symlink_to(os.path.relpath("/proc", tmp_path.resolve()))
    for name in ("here", "there", "up/self/cwd"):
        assert leads_through_kernel(tmp_path / name / "q.gguf")


def test_folders_of_users_are_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("q.gguf", "folder/q.gguf", "link/q.gguf", "absent/q.gguf", "circle/q.gguf", "proc/q.gguf"):
        assert not leads_through_kernel(tmp_path / name)
    assert not leads_through_kernel(Path("/q.gguf"))
    shared = Path("/dev", "shm")
    if shared.stat().st_dev != shared.parent.stat().st_dev:
        assert not leads_through_kernel(shared / "q.gguf")
