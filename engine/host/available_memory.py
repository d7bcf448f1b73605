"""Memory that can be had at this moment: asked before a run takes its own, so that it is refused and not killed."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path

from engine.host.cgroup import memory_headroom

_PROC = Path("/proc")
# What each limit of the process counts, by its name in /proc/self/status.
_PROCESS_LIMITS = {resource.RLIMIT_AS: "VmSize", resource.RLIMIT_DATA: "VmData"}


def available_memory(proc: Path = _PROC) -> int | None:
    """Bytes that this process can take without swapping or being killed.

    The least of what the machine has available, what the control groups leave and what the process's own limits leave;
    ``None`` where nothing tells.
    """
    status = _sizes(proc / "self" / "status")
    bounds = [_sizes(proc / "meminfo").get("MemAvailable"), memory_headroom()]
    for limit, counted in _PROCESS_LIMITS.items():
        allowed, _ = resource.getrlimit(limit)
        if allowed != resource.RLIM_INFINITY and counted in status:
            bounds.append(allowed - status[counted])
    known = [max(0, bound) for bound in bounds if bound is not None]
    return min(known, default=None)


def _sizes(path: Path) -> Mapping[str, int]:
    """The lines ``name: number kB`` of a file, in bytes; none where it cannot be read."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines)
    return {name.rstrip(":"): int(kib) * 1024 for name, kib, unit in (f for f in fields if len(f) == 3) if unit == "kB"}
