"""The same engine and folder as the requirements' tests have."""

from __future__ import annotations

from tests.requirements.conftest import _own_places, client, engine, home

__all__ = ["_own_places", "client", "engine", "home"]
