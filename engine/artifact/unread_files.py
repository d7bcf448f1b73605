"""Files that must be read to their end before anything can be said of them."""

from __future__ import annotations

from collections.abc import Callable


class UnreadFiles(Exception):  # noqa: N818  no error: whoever asked may read them and ask again
    """Raised where whoever asked has no time for it. ``read`` reads them, which may take minutes."""

    def __init__(self, read: Callable[[], object]) -> None:
        super().__init__("files have yet to be read")
        self.read = read
