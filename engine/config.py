"""Where the engine keeps things and how much it may take: decided once, at start-up."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.machine import memory_bytes
from protocol.errors import InvalidRequest

DEFAULT_WEIGHTS_CACHE_MB = 20_480
DEFAULT_PREFIX_CACHE_MB = 512
_PREFIX_CACHE_SHARE = 8
_MOST_WATTS = 10_000.0
"""No machine's CPUs draw more."""
DEFAULT_POWERCAP_ROOT = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    models_dir: Path
    """Pulled models, and any GGUF a user puts there."""
    cache_dir: Path
    """What can be made again: content hashes, derived weights."""
    data_dir: Path
    """What cannot: execution records."""
    powercap_root: Path = DEFAULT_POWERCAP_ROOT
    """Another tree than the machine's serves containers and tests."""
    tdp_watts: float | None = None
    """What this machine's CPUs draw at full load, as their maker or a person says; a model's joules rest on it where no
    calibration does."""
    max_queued: int = 256
    """Executions waiting to run; the next one is ``overloaded``."""
    weights_cache_mb: int = DEFAULT_WEIGHTS_CACHE_MB
    """Most MiB of derived weights kept on disk."""
    memory_mb: int | None = None
    """Most MiB for weights, KV caches and buffers together, and for one execution whose request sets no limit; ``None``
    is no limit."""
    prefix_cache_mb: int = DEFAULT_PREFIX_CACHE_MB
    """Most MiB of KV cache kept for later executions with the same prompt: part of ``memory_mb``, given back where
    others need it."""


def default_config() -> EngineConfig:
    """The configuration, from ``ENGINE_MODELS_DIR``, ``_CACHE_DIR``, ``_DATA_DIR``, ``_POWERCAP_ROOT``, ``_TDP_WATTS``,
    ``_WEIGHTS_CACHE_MB``, ``_MEMORY_MB`` and ``_PREFIX_CACHE_MB`` where set.

    Memory defaults to nine tenths of what the machine (or its cgroup) has, never to what is free at the moment: equal
    requests must get equal plans. The prefix cache defaults to an eighth of that memory.

    Raises:
        InvalidRequest: ENGINE_WEIGHTS_CACHE_MB, ENGINE_MEMORY_MB or ENGINE_PREFIX_CACHE_MB is not a positive whole
            number, or ENGINE_TDP_WATTS not a number of watts.
    """
    memory_mb = _mebibytes("ENGINE_MEMORY_MB", memory_bytes() * 9 // 10 >> 20)
    return EngineConfig(
        models_dir=_directory("ENGINE_MODELS_DIR", platformdirs.user_data_path("engine") / "models"),
        cache_dir=_directory("ENGINE_CACHE_DIR", platformdirs.user_cache_path("engine")),
        data_dir=_directory("ENGINE_DATA_DIR", platformdirs.user_data_path("engine")),
        powercap_root=_directory("ENGINE_POWERCAP_ROOT", DEFAULT_POWERCAP_ROOT),
        tdp_watts=_watts("ENGINE_TDP_WATTS"),
        weights_cache_mb=_mebibytes("ENGINE_WEIGHTS_CACHE_MB", DEFAULT_WEIGHTS_CACHE_MB),
        memory_mb=memory_mb,
        prefix_cache_mb=_mebibytes("ENGINE_PREFIX_CACHE_MB", max(1, memory_mb // _PREFIX_CACHE_SHARE)),
    )


def _directory(variable: str, default: Path) -> Path:
    given = os.environ.get(variable, "")
    return Path(given).expanduser().absolute() if given else default


def _watts(variable: str) -> float | None:
    given = os.environ.get(variable, "")
    if not given:
        return None
    try:
        watts = float(given)
    except ValueError:
        watts = math.nan
    if not 0 < watts <= _MOST_WATTS:
        raise InvalidRequest(
            f"{variable} is {given!r}; give a number of watts over 0, at most {_MOST_WATTS:g}",
            field=variable,
            value=given,
        )
    return watts


def _mebibytes(variable: str, default: int) -> int:
    given = os.environ.get(variable, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and int(given) > 0):
        raise InvalidRequest(
            f"{variable} is {given!r}; give a positive whole number of MiB", field=variable, value=given
        )
    return int(given)
