"""What made an answer, closer than a version says it."""

from __future__ import annotations

from protocol.value import Value


class Build(Value):
    """One build of the engine."""

    id: str
    """Digest of sources, compiler and flags: 32 hexadecimal digits. Equal ids, equal program."""
    arithmetic: str | None
    """Digest of the bits that a fixed self-test computes: 32 hexadecimal digits. Equal ones, equal answers. ``None``
    where the self-test could not run."""
    reason: str | None = None
    """Why not."""
    compiler: str
    flags: str

    @property
    def arithmetic_or_reason(self) -> str:
        """For a person."""
        return self.arithmetic or f"unknown: {self.reason}"
