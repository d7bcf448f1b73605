"""Isolation: what runs in it reaches neither the network nor the user's files, and there is no run without it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from auton.errors import AutonError
from auton.sandbox import Sandbox
from auton.workspace import workspace


def shell(isolation: Sandbox, folder: Path, text: str, timeout_s: float = 20.0) -> tuple[int | None, str]:
    ran = isolation.run(("sh", "-c", text), folder, timeout_s)
    return ran.exit_code, ran.output.strip()


def test_a_command_writes_into_its_folder_alone(isolation: Sandbox, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    folder = tmp_path / "work"
    folder.mkdir()
    assert shell(isolation, folder, "echo built >kernel; cat kernel; pwd") == (0, "built\n/work")
    assert (folder / "kernel").read_text() == "built\n"
    assert shell(isolation, folder, f"cat {outside} || echo hidden")[1].endswith("hidden")
    assert shell(isolation, folder, "echo x >/usr/bin/x || echo read-only")[1].endswith("read-only")
    assert not Path("/usr/bin/x").exists()


def test_the_environment_is_not_passed_on(isolation: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
    assert "sk-of-nobody" not in shell(isolation, tmp_path, "env; cat /proc/*/environ")[1]


def test_there_is_no_network_and_there_are_no_other_processes(isolation: Sandbox, tmp_path: Path) -> None:
    assert shell(isolation, tmp_path, "tail -n +3 /proc/net/dev | grep -v lo: | wc -l") == (0, "0")
    assert int(shell(isolation, tmp_path, "ls /proc | grep -c '^[0-9]*$'")[1]) < 10


def test_memory_that_passes_for_files_is_limited(isolation: Sandbox, tmp_path: Path) -> None:
    told = shell(isolation, tmp_path, "df --output=target,size -B 1M /tmp /dev/shm | tail -n +2 | tr -s ' '")
    assert told == (0, "/tmp 512\n/dev/shm 64")  # noqa: S108
    assert shell(isolation, tmp_path, "echo x >/tmp/x && echo x >/dev/shm/x && echo x >/dev/null") == (0, "")
    for path in ("/x", "/dev/x"):
        assert shell(isolation, tmp_path, f"echo x >{path} || echo read-only")[1].endswith("read-only")


DEEP = "way=$(printf 'd/%.0s' $(seq 500)); for part in 1 2 3; do mkdir -p $way; cd -P $way; done; touch f; chmod 500 ."
LOCKED = "mkdir -p a/b; touch a/b/c; ln -s / a/l; mkfifo a/f; chmod 000 a/b a"


@pytest.mark.parametrize("command", [DEEP, LOCKED])
def test_nothing_is_left_of_a_build(
    isolation: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with workspace() as folder:
        assert shell(isolation, folder, command)[0] == 0
        assert len(list(folder.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_takes_too_long_is_ended_with_all_it_started(isolation: Sandbox, tmp_path: Path) -> None:
    ran = shell(isolation, tmp_path, "(sleep 60; touch late) & sleep 60", timeout_s=0.5)
    assert ran == (None, "")
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_ended_once_it_has_said_what_is_awaited(isolation: Sandbox, tmp_path: Path) -> None:
    ran = isolation.run(("sh", "-c", "echo booting; echo hello; sleep 60"), tmp_path, 30.0, until="hello")
    assert (ran.exit_code, ran.output) == (0, "booting\nhello\n")
    assert isolation.run(("echo", "panic"), tmp_path, 30.0, until="hello").exit_code == 1
    assert isolation.run(("sleep", "60"), tmp_path, 0.2, until="hello").exit_code is None


def test_there_is_no_run_without_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AutonError, match="bubblewrap"):
        Sandbox()
