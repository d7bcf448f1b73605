"""The engine's own files, as they are on the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import engine
import engine_ctl.main
import protocol
from engine import _core

_PACKAGES = (Path(engine.__path__[0]), Path(protocol.__path__[0]), Path(engine_ctl.main.__file__).parent)


def fingerprints() -> dict[str, str]:
    """SHA-256 of the extension and of every Python file of the engine, by path."""
    sources = [path for package in _PACKAGES for path in sorted(package.rglob("*.py"))]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in (Path(_core.__file__), *sources)}
