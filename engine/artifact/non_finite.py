"""What a model computed that is NaN or infinite, as the error a client knows."""

from __future__ import annotations

from typing import Any, Protocol

from protocol.errors import NonFiniteResult


class Place(Protocol):
    """Implemented by ``_core.NonFinitePlace`` and :class:`engine.backend.NonFinitePlace`."""

    @property
    def part(self) -> str:
        """The part of the model: a layer's, the head or the logits."""

    @property
    def layer(self) -> int | None:
        """The layer from 0; ``None`` outside of layers."""

    @property
    def position(self) -> int:
        """The position in the context, from 0."""


def non_finite_result(model: str, sentence: str, place: Place, **more: Any) -> NonFiniteResult:
    """``sentence`` says where it is and, of several inputs, in which; ``more`` are further parameters."""
    return NonFiniteResult(
        f"{model}: {sentence}", model=model, part=place.part, layer=place.layer, position=place.position, **more
    )
