"""llama-server's small routes: texts to token ids and back."""

from __future__ import annotations

from typing import Any

from protocol.answers import Text, TokenIds
from protocol.dialects.shape import Asked
from protocol.requests import Detokenize, Tokenize


class TokenizeRequest(Asked):
    """The body of ``/tokenize``."""

    model: str | None = None
    content: str = ""
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(Asked):
    """The body of ``/detokenize``."""

    model: str | None = None
    tokens: tuple[int, ...] = ()


def to_tokenize(asked: TokenizeRequest, model: str) -> Tokenize:
    """The engine's question for it."""
    return Tokenize(model=model, text=asked.content, add_special=asked.add_special, parse_special=asked.parse_special)


def from_token_ids(asked: TokenizeRequest, answer: TokenIds) -> dict[str, Any]:
    """The ids alone, or each with its text where that is asked for."""
    if not asked.with_pieces:
        return {"tokens": answer.token_ids}
    pairs = zip(answer.token_ids, answer.pieces, strict=True)
    return {"tokens": [{"id": token_id, "piece": piece} for token_id, piece in pairs]}


def to_detokenize(asked: DetokenizeRequest, model: str) -> Detokenize:
    """The engine's question for it."""
    return Detokenize(model=model, token_ids=asked.tokens)


def from_text(answer: Text) -> dict[str, Any]:
    """The body of the answer."""
    return {"content": answer.text}
