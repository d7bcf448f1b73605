"""How a model's hidden states become one vector: as asked, as its file says, or by default. Pure."""

from __future__ import annotations

from typing import Final, get_args

from engine.artifact.artifact import ModelArtifact
from protocol.embedding import Pooling, PoolingFrom
from protocol.errors import InvalidRequest

DEFAULT_POOLING: Final[Pooling] = "mean"
_NO_POOLING: Final = 0
_BY_CODE: Final[dict[int, Pooling]] = {1: "mean", 2: "cls", 3: "last"}
"""The values of a GGUF's ``pooling_type``."""
_NOT_FOR_VECTORS: Final = {4: ", as of models that Rerank"}


def choose_pooling(asked: Pooling | None, artifact: ModelArtifact) -> tuple[Pooling, PoolingFrom]:
    """The pooling, and who chose it.

    Raises:
        InvalidRequest: none was asked for, and the file's own is one that this engine lacks.
        InvalidModel: the file's ``pooling_type`` is no whole number.
    """
    if asked is not None:
        return asked, "request"
    key = f"{artifact.architecture}.pooling_type"
    code = artifact.metadata.whole_or_none(key)
    if code is None or code == _NO_POOLING:
        return DEFAULT_POOLING, "default"
    if code not in _BY_CODE:
        allowed = get_args(Pooling)
        why = _NOT_FOR_VECTORS.get(code, ", a pooling that this engine lacks")
        raise InvalidRequest(
            f"{key} of {artifact.name} is {code}{why}; name one: {', '.join(allowed)}",
            field="request.pooling",
            value=code,
            allowed=list(allowed),
        )
    return _BY_CODE[code], "model"
