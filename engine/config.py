"""Where the engine keeps things and how much it may take: decided once, at start-up."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args, overload

import platformdirs

from engine.host.machine import memory_bytes
from protocol.errors import InvalidRequest
from protocol.plan import EnergySourceName

DEFAULT_WEIGHTS_CACHE_MB = 20_000
DEFAULT_PREFIX_CACHE_MB = 512
_PREFIX_CACHE_SHARE = 8
_MOST_WATTS = 10_000.0
"""No machine's CPUs draw more."""
DEFAULT_POWERCAP_ROOT = Path("/sys/class/powercap")
DEFAULT_POWER_PMU_ROOT = Path("/sys/bus/event_source/devices/power")
DEFAULT_HWMON_ROOT = Path("/sys/class/hwmon")
DEFAULT_CPUS_ROOT = Path("/sys/devices/system/cpu")
DEFAULT_METER_UPDATE_MS = 1000
"""What smart plugs and management controllers manage."""
_METER_FILE = "ENGINE_ENERGY_METER_FILE"
_METER_COMMAND = "ENGINE_ENERGY_METER_COMMAND"
_ENERGY_SOURCE = "ENGINE_ENERGY_SOURCE"
_ALIASES = "ENGINE_ALIASES"


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What the operator decides once, at the engine's start."""

    models_dir: Path
    """Pulled models, and any GGUF a user puts there."""
    cache_dir: Path
    """What can be made again: content hashes, derived weights."""
    data_dir: Path
    """What cannot: execution records."""
    powercap_root: Path = DEFAULT_POWERCAP_ROOT
    """Another tree than the machine's serves containers and tests; so for the three after it."""
    power_pmu_root: Path = DEFAULT_POWER_PMU_ROOT
    hwmon_root: Path = DEFAULT_HWMON_ROOT
    cpus_root: Path = DEFAULT_CPUS_ROOT
    energy_psys: bool = False
    """Count the whole platform, where the machine does, in place of its CPU packages."""
    meter_file: Path | None = None
    """Holds the joules of a meter outside the CPU. At most one of the two is given."""
    meter_command: tuple[str, ...] = ()
    """Prints them: a program and its arguments."""
    meter_update_ms: int = DEFAULT_METER_UPDATE_MS
    """The longest time between two moves of that meter."""
    energy_source: EnergySourceName | None = None
    """The operator's declaration: what plans name whose request leaves it open. ``None``: the best that measures."""
    tdp_watts: float | None = None
    """What this machine's CPUs draw at full load, as their maker or a person says; a model's joules rest on it where no
    calibration does."""
    max_queued: int = 256
    """Executions waiting to run; the next one is ``overloaded``."""
    weights_cache_mb: int = DEFAULT_WEIGHTS_CACHE_MB
    """Most MB (10^6 bytes) of derived weights kept on disk."""
    memory_mb: int | None = None
    """Most MB (10^6 bytes) for weights, KV caches and buffers together, and for one execution whose request sets no
    limit; ``None`` is no limit."""
    keep_alive_s: int | None = None
    """Seconds for which weights stay in memory that nothing uses; ``None``: until others need the room."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Models by other names, in lower case."""
    allow_prune: bool = False
    """Whether clients may remove records."""
    models_only: bool = False
    """Whether requests name models by their names alone, and no files."""
    prefix_cache_mb: int = DEFAULT_PREFIX_CACHE_MB
    """Most MB (10^6 bytes) of KV cache kept for later executions with the same prompt: part of ``memory_mb``, given
    back where others need it."""


def default_config() -> EngineConfig:
    """The configuration, from ``ENGINE_MODELS_DIR``, ``_CACHE_DIR``, ``_DATA_DIR``, ``_POWERCAP_ROOT``,
    ``_POWER_PMU_ROOT``, ``_HWMON_ROOT``, ``_CPUS_ROOT``, ``_ENERGY_PSYS``, ``_ENERGY_METER_FILE``,
    ``_ENERGY_METER_COMMAND``, ``_ENERGY_METER_UPDATE_MS``, ``_ENERGY_SOURCE``, ``_TDP_WATTS``, ``_WEIGHTS_CACHE_MB``,
    ``_MEMORY_MB``, ``_ALIASES``, ``_KEEP_ALIVE_S`` and ``_PREFIX_CACHE_MB`` where set.

    Memory defaults to nine tenths of what the machine (or its cgroup) has, never to what is free at the moment: equal
    requests must get equal plans. The prefix cache defaults to an eighth of that memory.

    Raises:
        InvalidRequest: ENGINE_WEIGHTS_CACHE_MB, ENGINE_MEMORY_MB, ENGINE_PREFIX_CACHE_MB, ENGINE_KEEP_ALIVE_S or
            ENGINE_ENERGY_METER_UPDATE_MS is not a positive whole number, ENGINE_ENERGY_PSYS neither 0 nor 1,
            ENGINE_ENERGY_SOURCE no source, ENGINE_TDP_WATTS not a number of watts; a meter by file and by command, or
            by a command that no shell could read; ENGINE_ALIASES not pairs of names.
    """
    memory_mb = _positive("ENGINE_MEMORY_MB", memory_bytes() * 9 // 10 // 10**6, "MB")
    return EngineConfig(
        models_dir=_directory("ENGINE_MODELS_DIR", platformdirs.user_data_path("engine") / "models"),
        cache_dir=_directory("ENGINE_CACHE_DIR", platformdirs.user_cache_path("engine")),
        data_dir=_directory("ENGINE_DATA_DIR", platformdirs.user_data_path("engine")),
        powercap_root=_directory("ENGINE_POWERCAP_ROOT", DEFAULT_POWERCAP_ROOT),
        power_pmu_root=_directory("ENGINE_POWER_PMU_ROOT", DEFAULT_POWER_PMU_ROOT),
        hwmon_root=_directory("ENGINE_HWMON_ROOT", DEFAULT_HWMON_ROOT),
        cpus_root=_directory("ENGINE_CPUS_ROOT", DEFAULT_CPUS_ROOT),
        energy_psys=_switch("ENGINE_ENERGY_PSYS"),
        meter_file=_meter_file(),
        meter_command=_meter_command(),
        meter_update_ms=_positive("ENGINE_ENERGY_METER_UPDATE_MS", DEFAULT_METER_UPDATE_MS, "milliseconds"),
        energy_source=_energy_source(),
        tdp_watts=_watts("ENGINE_TDP_WATTS"),
        weights_cache_mb=_positive("ENGINE_WEIGHTS_CACHE_MB", DEFAULT_WEIGHTS_CACHE_MB, "MB"),
        memory_mb=memory_mb,
        aliases=_aliases(),
        keep_alive_s=_positive("ENGINE_KEEP_ALIVE_S", None, "seconds"),
        prefix_cache_mb=_positive("ENGINE_PREFIX_CACHE_MB", max(1, memory_mb // _PREFIX_CACHE_SHARE), "MB"),
    )


def _aliases() -> Mapping[str, str]:
    given = os.environ.get(_ALIASES, "")
    pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
    if not all(name.strip() and model.strip() for name, _, model in pairs):
        raise _refused(_ALIASES, given, "give NAME=MODEL, several with commas between")
    return {name.strip().lower(): model.strip() for name, _, model in pairs}


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
    return declared_watts(variable, watts, given)


def declared_watts(field: str, watts: float, given: str | None = None) -> float:
    """The watts that ``field`` declares. Raises InvalidRequest: not over 0, or more than any machine draws."""
    if not 0 < watts <= _MOST_WATTS:
        wanted = f"give a number of watts over 0, at most {_MOST_WATTS:g}"
        raise _refused(field, f"{watts:g}" if given is None else given, wanted)
    return watts


def _energy_source() -> EnergySourceName | None:
    given = os.environ.get(_ENERGY_SOURCE, "")
    return declared_source(_ENERGY_SOURCE, given) if given else None


def declared_source(field: str, name: str) -> EnergySourceName:
    """The energy source that ``field`` declares. Raises InvalidRequest: there is none of this name."""
    if name not in get_args(EnergySourceName):
        raise _refused(field, name, f"allowed: {', '.join(get_args(EnergySourceName))}")
    return cast("EnergySourceName", name)


@overload
def _positive(variable: str, default: int, unit: str) -> int: ...
@overload
def _positive(variable: str, default: None, unit: str) -> int | None: ...
def _positive(variable: str, default: int | None, unit: str) -> int | None:
    given = os.environ.get(variable, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and int(given) > 0):
        raise _refused(variable, given, f"give a positive whole number of {unit}")
    return int(given)


def _switch(variable: str) -> bool:
    given = os.environ.get(variable, "")
    if given not in ("", "0", "1"):
        raise _refused(variable, given, "give 0 or 1")
    return given == "1"


def _meter_file() -> Path | None:
    given = os.environ.get(_METER_FILE, "")
    if given and os.environ.get(_METER_COMMAND, ""):
        raise _refused(_METER_FILE, given, f"give that or {_METER_COMMAND}, not both")
    return Path(given).expanduser().absolute() if given else None


def _meter_command() -> tuple[str, ...]:
    given = os.environ.get(_METER_COMMAND, "")
    try:
        return tuple(shlex.split(given))
    except ValueError as error:
        # It may hold a password, and is not repeated.
        raise _refused(_METER_COMMAND, "…", f"give a program and its arguments ({error})") from error


def _refused(variable: str, given: str, wanted: str) -> InvalidRequest:
    return InvalidRequest(f"{variable} is {given!r}; {wanted}", field=variable, value=given)
