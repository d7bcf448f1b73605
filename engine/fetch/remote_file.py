"""A file that is elsewhere, and how to tell that it has arrived."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file, in one version."""

    path: str
    """Where it is to lie, relative to the folder of its model."""
    size_bytes: int
    checksum: str
    """``sha256:`` of the content, ``git:``, the SHA-1 by which git names it, or ``version:``, which tells versions from
    each other and nothing of the content."""
