"""Where the engine's socket is, unless someone says otherwise."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

HTTP_SOCKET_NAME = "engine-http.sock"
"""The Unix socket of HTTP, beside the engine's own."""
MAX_SOCKET_PATH_BYTES = 107
"""Linux: ``sun_path`` has 108 bytes, the last of which ends it."""


def default_socket_path() -> Path:
    """``$ENGINE_SOCKET``, else ``$XDG_RUNTIME_DIR/engine/engine.sock``, else ``engine-$UID/engine.sock`` under tmp."""
    if named := os.environ.get("ENGINE_SOCKET"):
        return Path(named)
    if runtime_dir := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime_dir) / "engine" / "engine.sock"
    return Path(tempfile.gettempdir()) / f"engine-{os.getuid()}" / "engine.sock"
