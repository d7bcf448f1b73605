"""What a client asks about derived weights in the cache, and what it is answered."""

from __future__ import annotations

from typing import Literal

from protocol.message import Answer, Request
from protocol.summaries import CachedWeightsEntry


class CachedWeightsList(Answer):
    """The derived weights in the cache."""

    type: Literal["CachedWeightsList"] = "CachedWeightsList"
    directory: str
    limit_bytes: int
    entries: tuple[CachedWeightsEntry, ...]
    """The one used last first."""


class CachedWeightsRemoved(Answer):
    """The derived weights removed."""

    type: Literal["CachedWeightsRemoved"] = "CachedWeightsRemoved"
    names: tuple[str, ...]


class CachedWeightsVerified(Answer):
    """The derived weights compared with their digests."""

    type: Literal["CachedWeightsVerified"] = "CachedWeightsVerified"
    damages: dict[str, str]
    """What is wrong with each, by name; empty where nothing is."""


class ListCached(Request[CachedWeightsList]):
    """Answered by ``CachedWeightsList``."""

    type: Literal["ListCached"] = "ListCached"


class RemoveCached(Request[CachedWeightsRemoved]):
    """Remove derived weights, or with no names all that no engine uses. Answered by ``CachedWeightsRemoved``."""

    type: Literal["RemoveCached"] = "RemoveCached"
    names: tuple[str, ...] = ()


class VerifyCached(Request[CachedWeightsVerified]):
    """Compare derived weights, or with no names all of them, with their digests. Answered by
    ``CachedWeightsVerified``."""

    type: Literal["VerifyCached"] = "VerifyCached"
    names: tuple[str, ...] = ()


AskedOfCachedWeights = ListCached | RemoveCached | VerifyCached
ToldOfCachedWeights = CachedWeightsList | CachedWeightsRemoved | CachedWeightsVerified
