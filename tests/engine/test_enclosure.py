"""What code that got into the serving process could still do."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.engine.walled_program import needs_scopes, told_by

_INTRUDER = """
import signal, subprocess
from engine.config import EngineConfig
from engine.sandbox.enclosure import enclose

folder, home, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
outside = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
config = EngineConfig(folder / "models", folder / "cache", folder / "data")
enclosure = enclose(config, (folder / "run" / "engine.sock",))
print("in-force", ",".join(enclosure.close_behind().in_force))

def shell(command):
    if subprocess.run(["sh", "-c", command], stderr=subprocess.DEVNULL).returncode:
        raise PermissionError(errno.EACCES, "")

unix, tcp = socket.socket(socket.AF_UNIX), None
for name in ("models", "cache", "data", "run"):
    tell("write-" + name, lambda: (folder / name / "file").write_text("ours"))
tell("read-key", (home / "key").read_text)
tell("overwrite-key", lambda: (home / "key").write_text("gone"))
tell("shell-reads-key", lambda: shell(f"cat {home}/key"))
tell("shell-leaves-a-file", lambda: shell(f"echo >{home}/.profile"))
tell("link-to-key", lambda: os.link(home / "key", folder / "cache" / "key"))
tell("bus", lambda: unix.connect(str(home / "bus")))
tell("web", lambda: socket.create_connection(("127.0.0.1", port)))
tell("kill", lambda: os.kill(outside.pid, signal.SIGKILL))
tell("kill-parent", lambda: os.kill(os.getppid(), 0))
tell("kill-broker", lambda: os.kill(enclosure.broker.pid, signal.SIGKILL))
tell("look-into", lambda: open(f"/proc/{outside.pid}/mem", "rb").close())
"""
"""What it tries, and whether that was done."""


@needs_scopes
def test_code_within_the_engine_reaches_nothing_of_its_users(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "key").write_text("secret")
    with socket.socket(socket.AF_UNIX) as bus, socket.create_server(("127.0.0.1", 0)) as server:
        bus.bind(str(home / "bus"))
        bus.listen()

        told = told_by(
            _INTRUDER,
            tmp_path / "engine",
            home,
            str(server.getsockname()[1]),
        )

    assert told.pop("in-force") == "files,network,processes,system_calls"
    done = {name for name, outcome in told.items() if outcome == "done"}
    assert done == {"write-models", "write-cache", "write-data", "write-run"}
    assert (home / "key").read_text() == "secret"
    assert sorted(path.name for path in home.iterdir()) == ["bus", "key"]
