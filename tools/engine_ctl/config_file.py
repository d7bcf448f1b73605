"""The one configuration file: values of variables, other names of models, and flags of commands.

    memory_mb = 12000                        # as ENGINE_MEMORY_MB
    [aliases]
    tiny = "smollm2-135m-instruct"
    [run]
    threads = 2                              # as engine-ctl run --threads 2

A flag counts before a variable, a variable before the file, the file before the default.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from engine_ctl.config_place import ALIASES_VARIABLE
from engine_ctl.settings import BY_NAME, Kind, Setting

Table = Mapping[str, Any]

_WANTED: Mapping[Kind, str] = {
    "text": "a text",
    "path": "a path",
    "whole": "a positive whole number",
    "number": "a number over 0",
    "switch": "true or false",
    "list": "a list of texts, or one text",
}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What the file says, and what is wrong with it."""

    path: Path
    variables: Mapping[str, str]
    """Values by variable."""
    flags: Mapping[str, Table]
    """Tables of commands, which only those can check."""
    faults: tuple[str, ...] = ()


def read_config(path: Path, commands: Mapping[str, str]) -> ConfigFile:
    """The file's content; an empty one where there is no file. ``commands`` are those that have tables."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ConfigFile(path, {}, {})
    except OSError as error:
        return ConfigFile(path, {}, {}, (f"it cannot be read: {error.strerror}",))
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return _parsed(path, tomllib.loads(content.decode()), commands)
    except ValueError as error:  # no TOML, or no UTF-8
        return ConfigFile(path, {}, {}, (f"it is not TOML: {error}",))


def apply_config(config: ConfigFile) -> None:
    """Set the variables that the environment leaves open, for this process and those that it starts."""
    for variable, value in config.variables.items():
        os.environ.setdefault(variable, value)


def flags_of(command: click.Command, table: Table) -> tuple[dict[str, Any], list[str]]:
    """A command's parameters from its table, by the names that click has for them, and what is wrong with the table."""
    names = {
        spelling.lstrip("-"): option
        for option in command.params
        if isinstance(option, click.Option)
        for spelling in (*option.opts, *option.secondary_opts)
    }
    values: dict[str, Any] = {}
    faults = []
    for key, value in table.items():
        option = names.get(key.replace("_", "-"))
        if option is None or option.name is None:
            faults.append(f"{command.name}.{key}: {command.name} has no flag --{key}{_near(key, names)}")
        elif isinstance(value, dict) or (isinstance(value, list) and not option.multiple):
            faults.append(f"{command.name}.{key}: give one value")
        elif key.replace("_", "-") in {spelling.lstrip("-") for spelling in option.secondary_opts}:
            values[option.name] = not value
        else:
            values[option.name] = value
    return values, faults


def _parsed(path: Path, content: Table, commands: Mapping[str, str]) -> ConfigFile:
    variables: dict[str, str] = {}
    flags: dict[str, Table] = {}
    faults: list[str] = []
    for key, value in content.items():
        if key == "aliases":
            _take_aliases(value, variables, faults)
        elif key in BY_NAME:
            setting = BY_NAME[key]
            if (text := _text(setting.kind, value)) is None:
                faults.append(f"{key} is {value!r}; give {_WANTED[setting.kind]}")
            else:
                variables[setting.variable] = text
        elif key in commands and isinstance(value, dict):
            flags[key] = value
        else:
            faults.append(f"there is no setting {key!r}{_near(key, (*BY_NAME, 'aliases', *commands))}")
    return ConfigFile(path, variables, flags, tuple(faults))


def _take_aliases(value: Any, variables: dict[str, str], faults: list[str]) -> None:
    pairs = value.items() if isinstance(value, dict) else None
    if pairs is None or not all(isinstance(model, str) and not {",", "="} & {*name, *model} for name, model in pairs):
        faults.append('aliases: give a table of names and models, as in tiny = "smollm2-135m-instruct"')
        return
    variables[ALIASES_VARIABLE] = ",".join(f"{name}={model}" for name, model in pairs)


def _text(kind: Kind, value: Any) -> str | None:
    """The value as a variable holds it; ``None``: it is of another kind."""
    match kind, value:
        case "switch", bool():
            return str(int(value))
        case _, bool():
            return None
        case (("text" | "path" | "list"), str()):
            return str(value)
        case "whole", int() if value > 0:
            return str(value)
        case "number", int() | float() if value > 0:
            return str(value)
        case "list", list() if all(isinstance(each, str) for each in value):
            return ",".join(value)
        case _:
            return None


def _near(word: str, words: Any) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word.replace("_", "-"), list(words), n=1) or get_close_matches(word, list(words), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def source_of(setting: Setting, config: ConfigFile, environment: Mapping[str, str]) -> str:
    """Where a setting's value comes from: ``environment``, ``file`` or ``default``."""
    given = environment.get(setting.variable, "")
    if given and given != config.variables.get(setting.variable):
        return "environment"
    return "file" if setting.variable in config.variables else "default"
