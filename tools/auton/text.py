"""Text of models, files and programs, which may hold any characters, and halves of some."""

from __future__ import annotations

import re
import unicodedata

_HALVES = re.compile("[\ud800-\udfff]")
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, formats, halves of characters, and separators of lines."""


def whole(text: str) -> str:
    """The same with a sign in place of each half of a character (a surrogate): no file can hold one."""
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", text)


def shown(text: str) -> str:
    """The same for a terminal: what would steer it, or hide from its reader, becomes an escape, such as ``\\x1b``.

    Lines and tabs stay; each further line is indented, so that none passes for a line of ours.
    """
    return "\n  ".join(_escaped(line, "\t") for line in text.split("\n"))


def shown_in_line(text: str) -> str:
    """The same in one line, such as a name has; ends of lines are escapes too."""
    return _escaped(text, "")


def steers(text: str) -> bool:
    """Whether a text holds anything but what is seen in one line."""
    return any(unicodedata.category(one) in _STEERING for one in text)


def _escaped(text: str, kept: str) -> str:
    return "".join(one if one in kept or not steers(one) else one.encode("unicode_escape").decode() for one in text)
