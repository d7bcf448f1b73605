"""Models in several files: ``NAME-00001-of-00003.gguf`` and so on. The first stands for all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.IGNORECASE | re.DOTALL)

MAX_PARTS = 1024
"""Several times those of the largest models there are. One file's name has each of them looked for."""


@dataclass(frozen=True, slots=True)
class SplitFile:
    """One part, by its name."""

    stem: str
    """What the names of all parts begin with."""
    number: int
    """From 1."""
    count: int
    suffix: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all parts in order."""
        return tuple(f"{self.stem}-{number:05}-of-{self.count:05}{self.suffix}" for number in range(1, self.count + 1))


def split_file(name: str) -> SplitFile | None:
    """``None``: a file of that name is a whole model. ``name`` may be a path."""
    found = _PART.fullmatch(name)
    if found is None:
        return None
    part = SplitFile(found["stem"], int(found["number"]), int(found["count"]), found["suffix"])
    return part if 1 <= part.number <= part.count <= MAX_PARTS else None


def parts_of(name: str) -> tuple[str, ...]:
    """The names of all files of a model, of which ``name`` is one; the first stands for the model."""
    part = split_file(name)
    return (name,) if part is None else part.names


def part_paths(path: Path) -> tuple[Path, ...]:
    """The same as paths, whether or not they exist."""
    return tuple(path.with_name(name) for name in parts_of(path.name))


def is_later_part(name: str) -> bool:
    """Whether the path names a split file's part, but not the first."""
    part = split_file(name)
    return part is not None and part.number > 1
