"""Where the configuration file is: looked for by every command, so that nothing is imported for it."""

from __future__ import annotations

import os
from pathlib import Path

CONFIG_VARIABLE = "ENGINE_CONFIG"
"""Names the configuration file itself."""
ALIASES_VARIABLE = "ENGINE_ALIASES"
"""Other names of models, as ``tiny=smollm2-135m-instruct,big=hf:OWNER/REPO``; the file's table ``aliases``."""


def config_path() -> Path:
    """``$ENGINE_CONFIG``, else ``engine/config.toml`` in ``$XDG_CONFIG_HOME`` or ``~/.config``."""
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser()
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if home else Path.home() / ".config") / "engine" / "config.toml"
