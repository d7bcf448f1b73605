"""Manual pages, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click


def manual_pages(command: click.Command, name: str, version: str) -> Iterator[tuple[str, str]]:
    """(file name, roff) of a command's page and those of the commands below it."""
    ctx = click.Context(command, info_name=name)
    yield from _pages(ctx, name.replace(" ", "-"), version)


def _pages(ctx: click.Context, page: str, version: str) -> Iterator[tuple[str, str]]:
    yield f"{page}.1", _page(ctx, page, version)
    if not isinstance(ctx.command, click.Group):
        return
    for name in ctx.command.list_commands(ctx):
        below = ctx.command.get_command(ctx, name)
        if below is not None and not below.hidden:
            yield from _pages(click.Context(below, info_name=name, parent=ctx), f"{page}-{name}", version)


def _page(ctx: click.Context, page: str, version: str) -> str:
    command = ctx.command
    lines = [f'.TH "{page.upper()}" "1" "" "weos-engine {version}" "engine-ctl"', ".ad l", ".nh", ".SH NAME"]
    lines.append(f"{_plain(page)} \\- {_plain(command.get_short_help_str(limit=300).rstrip('.'))}")
    lines += [".SH SYNOPSIS", f".B {_plain(ctx.command_path)}", _plain(" ".join(command.collect_usage_pieces(ctx)))]
    lines += [".SH DESCRIPTION", *_paragraphs(command.help or "")]
    options = [record for param in command.params if (record := param.get_help_record(ctx)) is not None]
    lines += _section("OPTIONS", dict(options))
    if isinstance(command, click.Group):
        below = {each: command.get_command(ctx, each) for each in command.list_commands(ctx)}
        told = {
            f"{ctx.command_path} {each}": of.get_short_help_str(300) for each, of in below.items() if of is not None
        }
        lines += _section("COMMANDS", told)
    return "\n".join(lines) + "\n"


def _section(title: str, rows: Mapping[str, str]) -> Iterator[str]:
    if rows:
        yield f".SH {title}"
    for term, meaning in rows.items():
        yield ".TP"
        yield f"\\fB{_plain(term)}\\fR"
        yield _plain(meaning)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield ".PP"
        verbatim = paragraph.lstrip().startswith("\b")
        lines = [_plain(line) for line in paragraph.replace("\b", "").splitlines() if line.strip()]
        yield from (".nf", *lines, ".fi") if verbatim else (" ".join(line.strip() for line in lines),)


def _plain(text: str) -> str:
    """Text that roff takes for nothing else."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("|", "|\\:")  # where a line may break
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
