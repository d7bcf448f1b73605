"""Models that are split into several files: ``NAME-00001-of-00003.gguf`` and so on."""

from __future__ import annotations

import re
from pathlib import Path

_PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


def model_parts(path: Path) -> tuple[Path, ...]:
    """Every file of the model that ``path`` is the first of, in order, whether or not it exists; a file that is not
    named as a first part is alone.
    """
    match = _PART.fullmatch(path.name)
    if match is None or int(match["number"]) != 1:
        return (path,)
    others = range(2, int(match["count"]) + 1)
    return (path, *(path.with_name(f"{match['name']}-{number:05}-of-{match['count']}.gguf") for number in others))


def is_later_part(path: Path) -> bool:
    """Whether the file's name is that of a part that another file begins."""
    match = _PART.fullmatch(path.name)
    return match is not None and int(match["number"]) > 1


def model_name(path: Path) -> str:
    """The file's name without its ending and without the number of its part."""
    match = _PART.fullmatch(path.name)
    return path.stem if match is None else match["name"]
