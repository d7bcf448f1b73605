"""What made an answer, closer than a version says it."""

from __future__ import annotations

from protocol.model import Value


class Build(Value):
    id: str
    """Of the sources, the compiler and its flags: 32 hexadecimal digits. Equal ids, equal program."""
    arithmetic: str
    """Of the bits that a fixed self-test computes: 32 hexadecimal digits. Equal ones, equal answers."""
    compiler: str
    flags: str
