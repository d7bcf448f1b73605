"""What would hold the event loop at the first request is done before an engine says that it listens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# It answers no request: it is asked to stop as soon as it listens.
_PROGRAM = """
import gc, json, os, signal, sys
from pathlib import Path
from engine.config import EngineConfig
from engine.sandbox.enclosure import open_enclosure
from engine_ctl.embedded import serve
from protocol.value import Value

def descendants(kind):
    for each in kind.__subclasses__():
        yield each
        yield from descendants(each)

def note(text):
    if text.startswith("listening"):
        models = list(descendants(Value))
        unbuilt = [one.__name__ for one in models if not one.__pydantic_complete__]
        told = {"models": len(models), "unbuilt": unbuilt, "frozen": gc.get_freeze_count()}
        told["between"] = gc.get_threshold()[2]
        print(json.dumps(told), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

folder = Path(sys.argv[1])
config = EngineConfig(models_dir=folder, cache_dir=folder / "cache", data_dir=folder / "data")
serve(config, Path(sys.argv[2]), 0.0, note, None, open_enclosure("a test"))
"""


def test_messages_are_built_and_modules_set_aside_before_it_listens(socket_path: Path) -> None:
    ran = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", _PROGRAM, str(socket_path.parent), str(socket_path)],
        env=os.environ | {"ENGINE_ENERGY_SOURCE": "none"},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = json.loads(ran.stdout)
    assert told["models"] > 100
    assert told["unbuilt"] == []
    assert told["frozen"] > 10_000
    assert told["between"] > 1000
