"""The text that an evaluation reads, in windows of tokens."""

from __future__ import annotations

from typing import Final

from engine.artifact.artifact import ModelArtifact
from protocol.errors import InvalidRequest

CUSTOMARY_WINDOW: Final = 512


def window_of(artifact: ModelArtifact, asked: int | None) -> int:
    """The tokens of a window; ``asked``: ``None`` where it was left open."""
    return asked or min(CUSTOMARY_WINDOW, artifact.context_length)


def text_tokens(artifact: ModelArtifact, text: str, window: int, field: str = "text") -> list[int]:
    """The text's tokens. Its last line end is left out, as the ecosystem's own tool does.

    Raises InvalidRequest: they are fewer than a window; ``field``: that of the text.
    """
    tokens = artifact.tokenizer.encode(text.removesuffix("\n"))
    if len(tokens) < window:
        raise InvalidRequest(
            f"the text has {len(tokens)} tokens, and a window {window}: give a longer text or a smaller window",
            field=field,
            tokens=len(tokens),
            window=window,
        )
    return tokens
