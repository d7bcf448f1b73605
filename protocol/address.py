"""Where the engine's socket is, unless someone says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

from protocol.errors import EngineUnreachable

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
    import tempfile  # noqa: PLC0415  takes milliseconds that most commands need not spend

    return Path(tempfile.gettempdir()) / f"engine-{os.getuid()}" / "engine.sock"


def unreachable(path: Path, error: OSError) -> EngineUnreachable:
    """The error of a client that cannot connect to ``path``: why, and what would start an engine there."""
    size = len(os.fsencode(path))
    reason = error.strerror or str(error)
    remedy = "start one: engine-ctl serve" + ("" if path == default_socket_path() else f" --socket {path}")
    if size > MAX_SOCKET_PATH_BYTES:
        reason, remedy = f"the path has {size} bytes", f"a socket's has at most {MAX_SOCKET_PATH_BYTES}: name another"
    return EngineUnreachable(f"no engine answers at {path}: {reason}; {remedy}", socket=str(path))
