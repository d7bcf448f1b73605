"""The index of the benchmarks names every command, and nothing that is none."""

from __future__ import annotations

import re

from benchmarks.__main__ import BENCHMARKS
from tests.test_layers import ROOT

FOLDER = ROOT / "benchmarks"
FIGURES, COMMANDS = (FOLDER / "README.md").read_text(encoding="utf-8").split("## Commands of their own")
IS_A_COMMAND = '__name__ == "__main__"'


def named(part: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)


def test_the_index_names_the_figures_that_make_bench_measures() -> None:
    assert named(FIGURES) == list(BENCHMARKS)


def test_the_index_names_every_other_module_once_and_each_is_a_command() -> None:
    modules = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("[!_]*.py")}
    assert sorted(named(COMMANDS)) == sorted(set(modules) - set(BENCHMARKS))
    assert [name for name in named(COMMANDS) if IS_A_COMMAND not in modules[name]] == []
