"""A method, a path, and what answers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actors.http.call import Handler
from protocol.dialects.openapi import DescribedRoute, Shape


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A route with its handler."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """A path as Starlette reads it: ``/models/{name}``."""
    handle: Handler
    summary: str
    """One line, for people."""
    asks: Shape | None = None
    """The shape of its body; ``None``: it takes none, or the whole message's of the engine's own."""
    answers: Shape | None = None
    """The shape of its answer in one piece; ``None``: no model has it."""
    absent: bool = False
    """It says why it is not here, and does nothing else: no part of the OpenAPI document."""

    @property
    def operation(self) -> DescribedRoute:
        """The route as the OpenAPI document describes it."""
        return DescribedRoute(self.method, self.path, self.summary, self.asks, self.answers)
