"""JSON from a file or from standard input, read strictly: ambiguous JSON is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import click

from engine_ctl.text_source import read_document


def read_json(path: str, flag: str) -> Any:
    """The value in ``path``, or in standard input where it is ``-``; arrays are tuples, as they come from the wire.

    Raises:
        click.BadParameter: it cannot be read or is not JSON, has a key twice in one object, a number that JSON does not
            have (NaN, Infinity), or is nested too deep. ``flag`` is named as the one to blame.
    """
    try:
        return _with_tuples(json.loads(read_document(path), object_pairs_hook=_unique, parse_constant=_refuse_constant))
    except RecursionError as error:
        raise click.BadParameter(f"{path} is nested too deep", param_hint=flag) from error
    except ValueError as error:
        raise click.BadParameter(f"{path} is not JSON: {error}", param_hint=flag) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is in one object twice")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _with_tuples(value: Any) -> Any:
    match value:
        case dict():
            return {key: _with_tuples(each) for key, each in value.items()}
        case list():
            return tuple(map(_with_tuples, value))
        case _:
            return value
