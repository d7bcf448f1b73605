"""Every command that the documentation shows is one that there is, with the flags that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from engine_ctl.main import main
from tests.test_docs import PAGES, ROOT

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELLS = {"", "sh", "console"}
INLINE = re.compile(r"`(engine-ctl [^`]+)`")
TYPED = re.compile(r"(?:^|[|;&(\s])(engine-ctl [^-].*)")
END_OF_COMMAND = {"|", "&", ";", "&&", "||", ">", "<", "2>/dev/null", "done"}
PLACE = re.compile(r"\[.*\]|\.\.\.|…")
"""A form, and no command as it is typed."""


def shown(page: Path) -> Iterator[str]:
    """What stands in blocks of a shell and in the running text, each on one line."""
    text = page.read_text(encoding="utf-8")
    for block in (content for language, content in BLOCK.findall(text) if language in SHELLS):
        yield from (found[1] for line in block.replace("\\\n", " ").splitlines() if (found := TYPED.search(line)))
    yield from INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def words_of(command: str) -> list[str]:
    """A command's own words, without comments and without what a shell does with its output."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in END_OF_COMMAND or set(word) <= set("|&;<>()"):
            break
        words.append(word)
    return words[1:]


COMMANDS = [(page, command) for page in PAGES for command in shown(page) if not PLACE.search(command)]


def parse(words: list[str]) -> None:
    """Raises click.UsageError: there is no such command or flag."""
    command: click.Command = main
    ctx = main.make_context("engine-ctl", ["--help"], resilient_parsing=True)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, below, words = command.resolve_command(ctx, words)
        assert below is not None
        command, ctx = below, click.Context(below, info_name=name, parent=ctx)
    known = {spelling for param in command.params for spelling in (*param.opts, *param.secondary_opts)}
    for word in words:
        flag = word.partition("=")[0]
        if re.fullmatch(r"-{1,2}[a-z][a-z-]*", flag) and flag not in known | {"--help", "-h"}:
            raise click.NoSuchOption(flag, ctx=ctx)


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{page.relative_to(ROOT)}: {command[11:60]}" for page, command in COMMANDS]
)
def test_a_command_of_the_documentation_is_one_that_there_is(page: Path, command: str) -> None:
    try:
        words = words_of(command)
    except ValueError:  # a quotation that goes on in the next line
        words = command.split()[1:]
    parse(words)
