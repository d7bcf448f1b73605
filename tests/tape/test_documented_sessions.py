"""Every command that the documentation has a reader type does, in a clean environment, what the page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.hub_server import HubServer
from tests.tape.not_run import NotRun
from tests.tape.player import Played, Player
from tests.tape.shape import is_shown
from tests.tape.stage import MODEL, set_stage
from tests.tape.typed_commands import TypedCommand, blocks_of, unmarked_commands
from tests.test_docs import PAGES, page_id

TYPED = {page: list(blocks_of(page)) for page in PAGES}
PLAYED = [page for page, blocks in TYPED.items() if any(NotRun().reason(c.text) is None for b in blocks for c in b)]
NEEDS_ENERGY = "--max-watts"
REFUSED = {3}
JUDGED = {0, 8}
"""Whether two executions took as long as each other is up to the machine."""
A_MODELS_WORDS = re.compile(r"engine-ctl run .* -q\b")
PROGRAMS = ("curl", "jq", "node", "cc")


@pytest.fixture
def player() -> Iterator[Player]:
    # pytest's own folders have long names; a Unix socket's path may hold 107 bytes.
    with tempfile.TemporaryDirectory(prefix="tape-") as name, HubServer() as hub:
        folder = Path(name)
        player = Player(folder / "work", set_stage(folder, hub))
        try:
            yield player
        finally:
            player.end()


def made_executions(player: Player) -> tuple[str, ...]:
    for _ in range(2):
        played = player.play(f"engine-ctl run {MODEL} --prompt 'A cat' --max-tokens 2 -q")
        assert played.status == 0, played.printed
    listed = json.loads(player.play("engine-ctl executions ls --json").printed)
    return tuple(execution["execution_id"] for execution in listed["executions"])


def failure(command: TypedCommand, played: Played) -> str | None:
    shown = "\n".join(command.shown)
    allowed = REFUSED if "error[" in shown else JUDGED if "executions compare" in command.text else {0}
    if played.status not in allowed:
        return f"{command.text}\nended with {played.status}:\n{played.printed}"
    if A_MODELS_WORDS.search(command.text):
        return None if played.printed.strip() else f"{command.text}\nprinted nothing"
    if not is_shown(shown, played.printed):
        return f"{command.text}\nshows\n{shown}\nand printed\n{played.printed}"
    return None


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the pages show a machine with two CPUs")
@pytest.mark.parametrize("page", PLAYED, ids=page_id)
def test_a_pages_commands_do_what_it_shows(page: Path, player: Player) -> None:
    text = page.read_text(encoding="utf-8")
    if NEEDS_ENERGY in text:
        player.variables |= {"ENGINE_ENERGY_SOURCE": "model", "ENGINE_TDP_WATTS": "65"}
    if not any("engine-ctl serve" in command.text for block in TYPED[page] for command in block):
        player.serve()
    if page.name == "records.md":
        player.executions = made_executions(player)
    failures = []
    for command in (command for block in TYPED[page] for command in block if NotRun().reason(command.text) is None):
        if missing := [name for name in PROGRAMS if name in command.text.split() and shutil.which(name) is None]:
            pytest.skip(f"{missing[0]} is not here")
        if command.text.startswith("cat "):
            player.keep(command.text.removeprefix("cat "), "\n".join(command.shown))
        played = player.play(command.text)
        failures += [told] if (told := failure(command, played)) else []
        player.learn("\n".join(command.shown), played.printed)
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_is_typed_stands_in_a_block_of_a_shell(page: Path) -> None:
    assert unmarked_commands(page) == []


def test_whatever_is_not_run_is_in_the_documentation() -> None:
    table = NotRun()
    for command in (command for blocks in TYPED.values() for block in blocks for command in block):
        table.reason(command.text)
    assert table.without_use() == set()
