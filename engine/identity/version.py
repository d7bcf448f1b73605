"""The engine's version, whose one source is ``pyproject.toml``."""

from __future__ import annotations

from importlib.metadata import version

ENGINE_VERSION: str = version("weos-engine")
