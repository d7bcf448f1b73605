"""A pytest plugin of llama-server's tests: it writes how each of them ended, a JSON line each.

It imports nothing of this project: the tests run in an environment of their own.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

_REPORTS = Path(os.environ["ENGINE_TEST_REPORTS"])
_ANY_TEXT = frozenset(json.loads(os.environ["ENGINE_TEST_ANY_TEXT"]))
"""Tests whose regular expressions describe what llama.cpp's own random model says: any text will do."""


def pytest_collection_finish(session: Any) -> None:
    """Nothing is downloaded here: no server need be started for that before the tests."""
    presets = importlib.import_module("utils").ServerPreset
    presets.load_all = staticmethod(lambda: None)


def pytest_runtest_setup(item: Any) -> None:
    """Tests import the function that compares texts into their modules."""
    real = getattr(item.module, "_real_match_regex", None) or getattr(item.module, "match_regex", None)
    if real is not None:
        item.module._real_match_regex = real
        item.module.match_regex = _match_anything if _name(item.nodeid).partition("[")[0] in _ANY_TEXT else real


def _match_anything(regex: str, text: str) -> bool:
    return isinstance(text, str)


def pytest_runtest_logreport(report: Any) -> None:
    """A test has three reports: of its set-up, its call and its teardown. The first that tells an outcome counts."""
    if report.when == "call" or report.outcome != "passed":
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
        told = {"test": _name(report.nodeid), "outcome": report.outcome, "failure": text}
        with _REPORTS.open("a", encoding="utf-8") as reports:
            reports.write(json.dumps(told) + "\n")


def _name(nodeid: str) -> str:
    path, _, rest = nodeid.partition("::")
    return f"{path.rpartition('/')[2]}::{rest}"
