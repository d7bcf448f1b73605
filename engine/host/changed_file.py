"""The error for a model's file that changed while it was in use."""

from __future__ import annotations

from protocol.errors import InvalidModel


def changed_file(name: str, since: str = "while it was read") -> InvalidModel:
    """``name``: the model's, or its file's. A request that is sent again sees the file as it is by then."""
    return InvalidModel(f"{name} has changed {since}; send the request again", model=name, reason="file_changed")
