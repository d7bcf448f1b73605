"""Documents in the order of how well they answer a query, as a model made for that judges them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from protocol.plan import PositiveInt
from protocol.prefill_request import PrefillRequest
from protocol.value import Value

MAX_DOCUMENTS: Final = 2048
"""Most documents of one request."""

_Text = Annotated[str, Field(min_length=1)]


class RerankRequest(PrefillRequest):
    """A document's score depends on the query and on the document alone."""

    query: _Text
    documents: Annotated[tuple[_Text, ...], Field(min_length=1, max_length=MAX_DOCUMENTS)]
    top_n: PositiveInt | None = None
    """Only so many of the best. Left out: all."""


class RankedDocument(Value):
    """One document, judged."""

    index: int
    """Its place in the request."""
    score: float
    """What the model's classifier gives, a logit: the larger, the better it answers."""
    tokens: int
    """Tokens of query and document together, with those around them."""
