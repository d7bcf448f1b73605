"""What this machine lets the engine use. Probed once, at start-up; plans are made from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine import _core
from engine.host.cgroup import cpu_quota, memory_limit
from protocol.errors import InvalidRequest

_MASK = "ENGINE_CPU_FEATURES"


@dataclass(frozen=True, slots=True)
class Machine:
    """The CPUs and memory that this process may use."""

    cpu_model: str
    allowed_cpus: int
    """CPUs this process may keep busy: its affinity, cut by the cgroups' quota."""
    memory_bytes: int
    """Physical memory, or the cgroups' limit where that is less."""
    kernel_tables: Mapping[str, str]
    """Every kernel table: ``""`` where this process can run it, else the reason why not."""
    cpu_features: tuple[str, ...] = ()
    """What the kernels of this process may use beyond the x86-64 baseline."""
    masked_cpu_features: tuple[str, ...] = ()
    """What the processor has besides, and ``ENGINE_CPU_FEATURES`` leaves out."""


def probe_machine() -> Machine:
    """Raises InvalidRequest: ``ENGINE_CPU_FEATURES`` names what is no feature."""
    tables = kernel_tables()
    return Machine(
        cpu_model=_core.cpu_model(),
        allowed_cpus=allowed_cpus(len(os.sched_getaffinity(0)), cpu_quota()),
        memory_bytes=memory_bytes(),
        kernel_tables=tables,
        cpu_features=tuple(name for name, reason in _core.cpu_features().items() if not reason),
        masked_cpu_features=tuple(_core.masked_cpu_features()),
    )


def kernel_tables() -> Mapping[str, str]:
    """Every kernel table, the best first: ``""`` where this process can run it, else the reason why not.

    Raises InvalidRequest: ``ENGINE_CPU_FEATURES`` names what is no feature.
    """
    try:
        return _core.kernel_tables()
    except _core.UnknownCpuFeatureError as error:
        raise InvalidRequest(str(error), field=_MASK, value=os.environ.get(_MASK, "")) from error


def allowed_cpus(affinity: int, quota: float | None) -> int:
    """Whole CPUs under the quota: a thread that gets half a CPU would hold the others up at every barrier."""
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def memory_bytes() -> int:
    """The machine's memory, or the control groups' limit where that is lower."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return physical if limit is None else min(physical, limit)


def peak_resident_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Largest resident size of this process since it began (VmHWM); ``None`` where the kernel does not tell."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        match line.split():
            case ["VmHWM:", kib, "kB"]:
                return int(kib) * 1024
    return None
