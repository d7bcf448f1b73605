"""Other names that people gave models."""

from __future__ import annotations

import os

from engine_ctl.config_place import ALIASES_VARIABLE


def aliases() -> dict[str, str]:
    """Models by other names of theirs, in lower case: ``$ENGINE_ALIASES``, which the configuration file sets."""
    pairs = (pair.partition("=") for pair in os.environ.get(ALIASES_VARIABLE, "").split(",") if "=" in pair)
    return {name.strip().lower(): model.strip() for name, _, model in pairs}
