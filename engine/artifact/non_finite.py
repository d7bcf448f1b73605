"""What a model computed that is NaN or infinite, as the error a client knows."""

from __future__ import annotations

from typing import Any, Protocol

from protocol.errors import NonFiniteResult


class Place(Protocol):
    """Implemented by ``_core.NonFinitePlace`` and :class:`engine.backend.NonFinitePlace`."""

    @property
    def part(self) -> str: ...
    @property
    def layer(self) -> int | None: ...
    @property
    def position(self) -> int: ...


def non_finite_result(model: str, sentence: str, place: Place, **more: Any) -> NonFiniteResult:
    """``sentence`` says where it is and, of several inputs, in which; ``more`` are further parameters."""
    return NonFiniteResult(
        f"{model}: {sentence}", model=model, part=place.part, layer=place.layer, position=place.position, **more
    )
