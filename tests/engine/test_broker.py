"""The broker opens for the engine what a request names, and nothing that a request has no business with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engine.sandbox.broker import open_to_read
from tests.engine.walled_program import told_by
from tests.support.ended_process import has_ended
from tests.support.importance_files import binary_importance

MATRIX = binary_importance((b"blk.0.ffn_up.weight", 3, [1.0, 2.0]))
_WITH_BROKER = """
    import json
    from engine import _core
    from engine.host import landlock
    from engine.sandbox.broker import start_broker
    folder = Path(sys.argv[1])

    def echo(talk):
        talk.sendall(talk.recv(100).upper())

    def fail(talk):
        raise RuntimeError("the task failed")

    broker = start_broker({"echo": echo, "fail": fail})
    _core.set_file_broker(broker.files.fileno())

    def read(path):
        with os.fdopen(_core.open_to_read(os.fsencode(path)), errors="replace") as file:
            return file.read()
    """


def test_a_file_outside_the_walls_is_read_through_the_broker(tmp_path: Path) -> None:
    for name, content in {"model": b"GGUF", "matrix": MATRIX, "wallet.dat": b"secret", "key": b"secret"}.items():
        (tmp_path / name).write_bytes(content)

    told = told_by(
        _WITH_BROKER
        + """
    landlock.restrict({Path("/proc"): landlock.Access.READ})
    tell("alone", (folder / "model").read_text)
    tell("asked", lambda: read(folder / "model"))
    tell("absent", lambda: read(folder / "absent"))
    tell("matrix", lambda: read(folder / "matrix"))
    tell("wallet", lambda: read(folder / "wallet.dat"))
    tell("key", lambda: read(folder / "key"))
    print("content", read(folder / "model"))
    """,
        tmp_path,
    )

    assert told == {
        "alone": "EACCES",
        "asked": "done",
        "absent": "ENOENT",
        "matrix": "done",
        "wallet": "EACCES",
        "key": "EACCES",
        "content": "GGUF",
    }


def test_only_regular_files_of_users_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/proc/self/environ")

    told = told_by(
        _WITH_BROKER
        + """
    landlock.restrict({})
    tell("folder", lambda: read(folder))
    tell("pipe", lambda: read(folder / "pipe"))
    tell("device", lambda: read("/dev/zero"))
    tell("terminal", lambda: read("/dev/ptmx"))
    tell("kernel", lambda: read("/proc/self/environ"))
    tell("through-a-link", lambda: read(folder / "link"))
    tell("setting", lambda: read("/sys/kernel/mm/transparent_hugepage/enabled"))
    """,
        tmp_path,
    )

    assert set(told.values()) <= {"EACCES", "EISDIR", "ENOENT"}
    assert len(told) == 7


def test_what_is_no_file_is_not_even_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["/bin/sh", "-c", f"exec 3>{pipe}"]) as writer:  # noqa: S603
        state = Path(f"/proc/{writer.pid}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "S":
            pass  # it is not waiting for a reader yet
        with pytest.raises(PermissionError):
            open_to_read(pipe)
        assert state.read_text().rpartition(")")[2].split()[0] == "S"  # nor has there been one since
        os.close(os.open(pipe, os.O_RDONLY))


def test_a_model_is_opened_where_it_lies_and_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"GGUF and more")
    (tmp_path / "link").symlink_to("model")
    for path in (tmp_path / "model", tmp_path / "link"):
        with os.fdopen(open_to_read(path), "rb") as file:
            assert file.read() == b"GGUF and more"


_MAKER = """
    def ask(letter, *paths):
        broker.files.send(letter + b"\\0".join(map(os.fsencode, paths)))
        content, descriptors, _, _ = socket.recv_fds(broker.files, 4, 1)
        error = int.from_bytes(content, sys.byteorder)
        if error:
            raise OSError(error, "")
        for descriptor in descriptors:
            os.write(descriptor, b"GGUF")

    landlock.restrict({})
    for name in ("/proc/self/cwd", "/proc/self/root" + str(folder), "/dev", folder / "aside"):
        tell(f"through-{Path(name).name}", lambda: ask(b"w", Path(name) / "x.gguf.5.part"))
    for part in ("a.gguf.1.part", "b.gguf.2.part", "c.gguf.3.part", "left.gguf.4.part", ".profile"):
        tell("make-" + part, lambda: ask(b"w", folder / part))
    tell("name", lambda: ask(b"n", folder / "a.gguf.1.part", folder / "a.gguf"))
    tell("displace", lambda: ask(b"n", folder / "b.gguf.2.part", folder / "mine.gguf"))
    tell("elsewhere", lambda: ask(b"n", folder / "b.gguf.2.part", folder.parent / "b.gguf"))
    tell("rename-to-a-script", lambda: ask(b"n", folder / "b.gguf.2.part", folder / ".profile"))
    tell("remove", lambda: ask(b"d", folder / "c.gguf.3.part"))
    tell("rename-mine", lambda: ask(b"n", folder / "mine.gguf", folder / "yours.gguf"))
    tell("remove-mine", lambda: ask(b"d", folder / "mine.gguf"))
    tell("overwrite-mine", lambda: ask(b"w", folder / "mine.gguf"))
    print("broker", broker.pid)
    """
"""What it makes, names and removes through the broker, and what comes of that."""


def test_a_new_file_gets_its_name_and_displaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_text("mine")
    (tmp_path / "aside").symlink_to("/proc/self/cwd")

    told = told_by(
        _WITH_BROKER + _MAKER,
        tmp_path,
    )

    assert has_ended(Path("/proc") / told.pop("broker"))
    made = {f"make-{part}.part": "done" for part in ("a.gguf.1", "b.gguf.2", "c.gguf.3", "left.gguf.4")}
    assert told == made | {
        "name": "done",
        "displace": "EEXIST",
        "elsewhere": "ENOEXEC",
        "make-.profile": "ENOEXEC",
        "rename-to-a-script": "ENOEXEC",
        "remove": "done",
        "rename-mine": "ENOEXEC",
        "remove-mine": "EACCES",
        "overwrite-mine": "ENOEXEC",
        **dict.fromkeys(("through-cwd", f"through-{tmp_path.name}", "through-dev", "through-aside"), "EACCES"),
    }
    (tmp_path / "aside").unlink()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.gguf": "GGUF", "mine.gguf": "mine"}


def test_tasks_run_outside_and_one_that_fails_takes_none_with_it(tmp_path: Path) -> None:
    told = told_by(
        _WITH_BROKER
        + """
    def ask(name):
        with broker.run_task(name) as talk:
            try:
                talk.sendall(b"hello")
                return talk.recv(100).decode() or "nothing"
            except ConnectionError:
                return "nothing"

    landlock.restrict({})
    for round, name in enumerate(("fail", "echo", "unknown", "echo")):
        print(round, ask(name))
    """,
        tmp_path,
    )

    assert told == {"0": "nothing", "1": "HELLO", "2": "nothing", "3": "HELLO"}


def test_the_broker_ends_with_the_engine(tmp_path: Path) -> None:
    told = told_by(_WITH_BROKER + "\n    print('pid', broker.pid)", tmp_path)

    assert has_ended(Path("/proc") / told["pid"])
