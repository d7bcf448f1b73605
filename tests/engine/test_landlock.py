"""What a process can no longer do once it has entered Landlock's walls."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.engine.walled_program import needs_landlock, needs_scopes, told_by


@needs_landlock
def test_files_outside_stay_closed_and_those_inside_open(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text("text")

    told = told_by(
        """
        from engine.host import landlock
        inside, outside = map(Path, sys.argv[1:])
        landlock.restrict({inside: landlock.Access.WRITE})
        tell("read-inside", (inside / "file").read_text)
        tell("write-inside", lambda: (inside / "new").write_text("new"))
        tell("rename-inside", lambda: (inside / "new").rename(inside / "renamed"))
        tell("read-outside", (outside / "file").read_text)
        tell("write-outside", lambda: (outside / "file").write_text("other"))
        tell("make-outside", lambda: (outside / "new").write_text("new"))
        tell("remove-outside", (outside / "file").unlink)
        tell("list-outside", lambda: os.listdir(outside))
        """,
        inside,
        outside,
    )

    assert told == {
        "read-inside": "done",
        "write-inside": "done",
        "rename-inside": "done",
        "read-outside": "EACCES",
        "write-outside": "EACCES",
        "make-outside": "EACCES",
        "remove-outside": "EACCES",
        "list-outside": "EACCES",
    }
    assert (outside / "file").read_text() == "text"


@needs_landlock
def test_what_may_be_read_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")

    told = told_by(
        """
        from engine.host import landlock
        folder = Path(sys.argv[1])
        landlock.restrict({folder: landlock.Access.READ, folder / "absent": landlock.Access.READ})
        tell("read", (folder / "file").read_text)
        tell("write", lambda: (folder / "file").write_text("other"))
        tell("truncate", lambda: os.truncate(folder / "file", 0))
        """,
        tmp_path,
    )

    assert told == {"read": "done", "write": "EACCES", "truncate": "EACCES"}


@needs_landlock
def test_ports_are_given_up_unless_they_are_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        body = """
            from engine.host import landlock
            address = ("127.0.0.1", int(sys.argv[1]))
            landlock.restrict({{}}, tcp={kept})
            tell("connect", lambda: socket.socket().connect(address))
            tell("bind", lambda: socket.socket().bind(("127.0.0.1", 0)))
            """
        port = str(listening.getsockname()[1])

        assert told_by(body.format(kept=False), port) == {"connect": "EACCES", "bind": "EACCES"}
        assert told_by(body.format(kept=True), port) == {"connect": "done", "bind": "done"}


@needs_scopes
def test_only_its_own_children_get_its_signals() -> None:
    told = told_by(
        """
        import signal, subprocess
        from engine.host import landlock
        outside = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        landlock.restrict({Path("/"): landlock.Access.RUN, Path("/dev/null"): landlock.Access.WRITE})
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        tell("child", lambda: os.kill(child.pid, signal.SIGKILL))
        tell("outside", lambda: os.kill(outside.pid, signal.SIGKILL))
        os.waitpid(child.pid, 0)
        """
    )

    assert told == {"child": "done", "outside": "EPERM"}
