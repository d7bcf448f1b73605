"""The flags that say which grammar an answer must follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine_ctl.text_source import read_document

_KINDS = {".gbnf": "gbnf", ".lark": "lark"}

GRAMMAR_FLAGS = (
    click.option(
        "--json-schema",
        metavar="FILE|TEXT",
        help="Answer with JSON that this schema allows: a file, or a text that begins with {. As in any JSON Schema, "
        "objects may have other properties too unless additionalProperties is false.",
    ),
    click.option("--regex", metavar="REGEX", help="Answer with a text that this expression matches as a whole."),
    click.option("--grammar", metavar="FILE", help="Answer with a text of this grammar: a .lark or .gbnf file."),
)


def chosen_grammar(flags: dict[str, Any]) -> dict[str, str] | None:
    """The request's ``execution.grammar``, of the flags above; ``None`` where none was given.

    Raises:
        click.UsageError: more than one was given.
        click.BadParameter: a file cannot be read, or its name does not say what it holds.
    """
    schema, regex, path = flags["json_schema"], flags["regex"], flags["grammar"]
    if sum(value is not None for value in (schema, regex, path)) > 1:
        raise click.UsageError("Give at most one of --json-schema, --regex and --grammar.")
    if schema is not None:
        is_text = schema.lstrip().startswith("{")
        return {"kind": "json_schema", "source": schema if is_text else read_document(schema)}
    if regex is not None:
        return {"kind": "regex", "source": regex}
    if path is None:
        return None
    kind = _KINDS.get(Path(path).suffix.lower())
    if kind is None:
        raise click.BadParameter(f"{path} must end in .lark or .gbnf, to say what it holds")
    return {"kind": kind, "source": read_document(path)}
