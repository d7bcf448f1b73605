"""The clean environment in which the tape plays: a home of its own, and small models and files under the names that the
documentation uses."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.engine.hub_server import HubServer, Repository
from tests.support.gguf_factory import write_tiny_model

ROOT = Path(__file__).parents[2]
MODEL = "smollm2-135m-instruct"
_OTHER_MODELS = ("llama3-8b", "llama3.2:1b", "small")
_SIZES = {"context_length": 4096, "n_embd": 128}
"""Heads of 32 channels, as a KV cache of q8_0 needs them."""
_SENTENCE = "The cat sat on the mat and looked at the moon. "


def set_stage(folder: Path, hub: HubServer) -> dict[str, str]:
    """Fill an empty folder and the hub. Returns the variables of the commands, which are to run in its ``work``."""
    home, runtime, work = folder / "home", folder / "run", folder / "work"
    models = home / ".local" / "share" / "engine" / "models"
    for made in (models, runtime / "engine", work):
        made.mkdir(parents=True, mode=0o700)
    content = write_tiny_model(models / f"{MODEL}.gguf", **_SIZES).read_bytes()
    for name in _OTHER_MODELS:
        write_tiny_model(models / f"{name}.gguf", **_SIZES)
    hub.repositories["OWNER/REPO"] = Repository({"FILE.gguf": content})
    hub.repositories["OWNER/SEVERAL"] = Repository({"FILE-Q4_K_M.gguf": content, "FILE-Q8_0.gguf": content})
    _write_files(work)
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": str(runtime),
        "HF_ENDPOINT": hub.endpoint,
        "NO_PROXY": "127.0.0.1",
        **{name: value for name, value in os.environ.items() if name == "ENGINE_CPU_FEATURES"},
    }


def _write_files(work: Path) -> None:
    for name, sentences in (("question.txt", 1), ("report.txt", 9), ("FILE", 99)):
        (work / name).write_text(_SENTENCE * sentences, encoding="utf-8")
    (work / "docs").symlink_to(ROOT / "docs")
    plan = {"model": MODEL, "limits": {"max_tokens": 4}, "context_length": 256}
    experiment = {"baseline": plan, "candidates": [{**plan, "threads": 1}], "workload": [{"prompt": "A cat"}]}
    (work / "SPEC.json").write_text(json.dumps({**experiment, "metrics": ["tokens_per_sec"], "pairs": 2}))
