"""Which artifact runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from protocol.value import Value

ModelName = Annotated[str, Field(min_length=1, max_length=4096)]
"""A name that the engine knows, or a path."""


class ModelRef(Value):
    """Which artifact runs. ``name`` and ``path`` tell where it was found and take no part in the fingerprint."""

    name: str
    path: str
    content_hash: str
    """``sha256:`` and 64 hexadecimal digits of the whole file."""
    architecture: str
    stored_types: tuple[str, ...]
    """The tensor types in the file, sorted."""
