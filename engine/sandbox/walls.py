"""What the serving process, and the processes that it starts, keep of the machine. Pure, but for entering."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from engine.config import EngineConfig
from engine.host import landlock, system_calls
from engine.host.landlock import Access, each
from protocol.sandbox import Sandbox, Wall

_SYSTEM: Final = tuple(map(Path, ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/etc")))
_KERNEL: Final = tuple(map(Path, ("/proc", "/sys")))
_DEVICES: Final = tuple(map(Path, ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")))


@dataclass(frozen=True, slots=True)
class Walls:
    """What stays."""

    files: Mapping[Path, Access]
    network: bool = False
    """TCP ports."""


def serving_walls(config: EngineConfig, sockets: tuple[Path, ...] = ()) -> Walls:
    """What the process that serves keeps: programs and the system's state to read; models, cache, records and the
    folders of its sockets to write."""
    own = (config.models_dir, config.cache_dir, config.data_dir, *(socket.parent for socket in sockets))
    named = (config.meter_file,) if config.meter_file else ()
    roots = (config.powercap_root, config.power_pmu_root, config.hwmon_root, config.cpus_root)
    return Walls(
        each(program_paths(), Access.RUN)
        | each((*_KERNEL, *roots, *named), Access.READ)
        | each(_DEVICES, Access.READ_FILE | Access.WRITE_FILE)
        | each(own, Access.WRITE)
    )


def program_paths() -> tuple[Path, ...]:
    """Where this program, what it imports and its libraries lie."""
    imports = (path for path in map(Path, sys.path) if path.is_absolute())
    return (*_SYSTEM, Path(sys.prefix), Path(sys.base_prefix), *imports, Path(__file__).parents[2])


def enter(walls: Walls) -> Sandbox:
    """Give up the other files, and processes that are not this one's children, for the threads of later and all that
    this process starts. Call it with a single thread; :func:`close_behind` once the sockets listen.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        landlock.restrict(walls.files, tcp=True)
    except OSError as error:
        landlock.forbid_new_privileges()
        return Sandbox(reason=f"files and processes stay open: {error.strerror or error}")
    if landlock.version() < landlock.SCOPES_VERSION:
        return Sandbox(
            in_force=("files",), reason="processes stay open: the kernel's Landlock is older than its version 6"
        )
    return Sandbox(in_force=("files", "processes"))


def close_behind(before: Sandbox) -> Sandbox:
    """Give up the network and the system calls that no engine needs, in every thread."""
    try:
        system_calls.refuse(network=False)
    except OSError as error:
        reason = f"network and system calls stay open: {error.strerror or error}"
        return Sandbox(in_force=before.in_force, reason="; ".join(filter(None, (before.reason, reason))))
    in_force: set[Wall] = {*before.in_force, "network", "system_calls"}
    return Sandbox(in_force=tuple(wall for wall in get_args(Wall) if wall in in_force), reason=before.reason)
