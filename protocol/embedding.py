"""Vectors of texts, made of a model's hidden states."""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from protocol.prefill_request import PrefillRequest
from protocol.value import Value

Pooling = Literal["mean", "cls", "last"]
"""The mean of all tokens' hidden states, or the first or the last token's."""
PoolingFrom = Literal["request", "model", "default"]
"""Who chose it; ``model``: a key of its file."""
MAX_INPUTS: Final = 2048
"""Most inputs of one request."""

_Text = Annotated[str, Field(min_length=1)]
_TokenIds = Annotated[tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...], Field(min_length=1)]


class EmbeddingRequest(PrefillRequest):
    """One vector for each text. A text's vector depends neither on the others nor on their order."""

    texts: Annotated[tuple[_Text, ...], Field(min_length=1, max_length=MAX_INPUTS)] | None = None
    """Tokenized as prompts are: with BOS and EOS where the vocabulary says so."""
    token_ids: Annotated[tuple[_TokenIds, ...], Field(min_length=1, max_length=MAX_INPUTS)] | None = None
    """Instead of texts: taken as they are."""
    pooling: Pooling | None = None
    """Left out: the file's own (``pooling_type`` of its architecture), or else ``mean``. The answer says which."""
    normalize: bool = True
    """Divide each vector by its Euclidean length."""

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if (self.texts is None) == (self.token_ids is None):
            raise ValueError("give exactly one of 'texts' and 'token_ids'")
        return self


class EmbeddedText(Value):
    """The vector of one input."""

    vector: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
    """Base64 of little-endian 32-bit floats."""
    tokens: int
    """How many it was made of."""

    @property
    def values(self) -> tuple[float, ...]:
        """The vector's numbers, exactly. Raises ValueError where it holds none."""
        content = b64decode(self.vector, validate=True)
        if len(content) % 4:
            raise ValueError(f"{len(content)} bytes are no 32-bit floats")
        return struct.unpack(f"<{len(content) // 4}f", content)
