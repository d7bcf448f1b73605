"""What the control groups around this process allow it: CPUs and memory. Versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota(membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> float | None:
    """CPUs' worth of time allowed each period, the tightest of all enclosing groups; ``None`` is no quota."""
    quotas = [quota for group in _groups("cpu", membership, root) if (quota := _cpu_quota(group)) is not None]
    return min(quotas, default=None)


def memory_limit(membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> int | None:
    """Bytes allowed, the tightest of all enclosing groups; ``None`` is no limit."""
    limits = [limit for group in _groups("memory", membership, root) if (limit := _memory_limit(group)) is not None]
    return min(limits, default=None)


def memory_headroom(membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> int | None:
    """Bytes until the first of the enclosing groups is at its limit; ``None`` is no limit.

    Pages of files count as room: the kernel gives them up before it ends a process.
    """
    rooms = [room for group in _groups("memory", membership, root) if (room := _memory_room(group)) is not None]
    return min(rooms, default=None)


def _groups(controller: str, membership: Path, root: Path) -> Iterator[Path]:
    """The group of this process and its ancestors, innermost first.

    Inside a container the path in ``membership`` is often the host's and absent here: then only the mount's root,
    which is the container's own group, remains.
    """
    for line in (_text(membership) or "").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            mount = root
        elif controller in controllers.split(","):
            mount = root / controller
        else:
            continue
        # A group outside the namespace is told as a path upwards, which the mount does not show.
        inner = Path() if ".." in Path(path).parts else Path(path.lstrip("/"))
        yield from (mount / part for part in (inner, *inner.parents) if (mount / part).is_dir())


def _cpu_quota(group: Path) -> float | None:
    fields = (_text(group / "cpu.max") or "").split()
    if not fields:
        fields = [_text(group / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
    numbers = [_number(field) for field in fields]
    match numbers:
        case [int(quota), int(period)] if quota > 0 and period > 0:
            return quota / period
        case _:
            return None


def _memory_limit(group: Path) -> int | None:
    """Beyond ``high`` a group is not ended, but slowed until it all but stands still."""
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    limits = [limit for name in names if (limit := _number(_text(group / name) or "")) is not None]
    return min(limits, default=None)


def _memory_room(group: Path) -> int | None:
    limit = _memory_limit(group)
    used = _number(_text(group / "memory.current") or _text(group / "memory.usage_in_bytes") or "")
    if limit is None or used is None:
        return None
    pages = [line.split() for line in (_text(group / "memory.stat") or "").splitlines()]
    # In version 1 the names without "total_" leave out the groups below.
    names = {"total_inactive_file", "total_active_file"}
    if not any(fields[:1] == ["total_inactive_file"] for fields in pages):
        names = {"inactive_file", "active_file"}
    files = sum(int(fields[1]) for fields in pages if len(fields) == 2 and fields[0] in names and _number(fields[1]))
    return max(0, limit - used + files)


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
