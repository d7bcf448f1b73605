"""What somebody who has a model offers of it: its files, where they are to lie, and how to read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.fetch.read_ahead import Pieces
from engine.fetch.remote_file import RemoteFile
from protocol.errors import DownloadFailed


@dataclass(frozen=True, slots=True)
class Offer:
    """One model, in one version."""

    name: str
    """The model's name, once it is here."""
    directory: Path
    """The place of its files, relative to the models directory."""
    files: tuple[RemoteFile, ...]
    """All of them, the first one first: it is by this one that a model is found."""
    read: Callable[[RemoteFile, int, int | None], Pieces]
    """A file's content from a position up to another; see :data:`engine.fetch.read_ahead.Read`."""
    senseless: Callable[[RemoteFile], DownloadFailed]
    """What to raise where other bytes come than those that were asked for."""
