"""A configuration with no energy source at all, to give it some."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config import EngineConfig, default_config


def make_energy_config(folder: Path, **changes: Any) -> EngineConfig:
    """Whatever the machine that runs the tests offers: of it nothing is looked at."""
    nothing = {name: folder / f"no-{name}" for name in ("powercap_root", "power_pmu_root", "hwmon_root", "cpus_root")}
    return replace(default_config(), **{**nothing, **changes})
