"""Joules of the CPU packages from the kernel's power PMU: one event for each package, counted in 64 bits."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from engine.energy.sources.counted_source import CountedSource
from engine.energy.sources.counter import PACKAGE_WATTS, PLATFORM_WATTS, Counter
from engine.energy.sources.perf_event import OpenEvent, PerfEvent
from engine.energy.sources.permissions import PERF_REMEDY
from engine.energy.sources.self_test import Seen, require_movement, still, watch
from engine.energy.sources.source import SourceError

_UPDATE_MS = 1.0
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_REFUSED = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class _Place:
    """A CPU that stands for its package, or for one of its dies."""

    cpu: int
    package: str
    domain: str


class PerfSource(CountedSource):
    """Sums the packages' events; gives those of the memory apart. With ``psys`` the platform's event alone."""

    def __init__(
        self,
        root: Path,
        cpus: Path,
        pause: Callable[[float], None] = time.sleep,
        *,
        psys: bool = False,
        open_event: OpenEvent = PerfEvent,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Open the events and see them count, which takes up to a tenth of a second.

        ``root``: the PMU in sysfs. ``cpus``: the CPUs, with their topology.

        Raises:
            SourceError: no power PMU, no event for the packages, no permission, or an event that stands still.
        """
        places, counted, memories = _open(root, cpus, open_event, psys=psys)
        seen = watch((*counted, *memories), _UPDATE_MS, clock, pause)
        packages, apart = seen[: len(counted)], seen[len(counted) :]
        packages = _platform(packages) if psys else _without_mirrors(packages, places)
        require_movement(packages, str(root))
        apart = _without_mirrors(apart, places)
        unmoved = still(apart)
        super().__init__(
            "perf",
            [one.counter for one in packages],
            [one.counter for one in apart if one.moves],
            update_ms=_UPDATE_MS,
            notes=[f"{memory.domain} is left out: its counter stands still" for memory in unmoved],
            memory_is_whole=not unmoved,
            clock=clock,
        )


def _open(
    root: Path, cpus: Path, open_event: OpenEvent, *, psys: bool
) -> tuple[list[_Place], list[Counter], list[Counter]]:
    """The places where the PMU counts, the counters there that are summed, and the memory's."""
    try:
        if not root.is_dir():
            raise SourceError(
                f"{root} does not exist: this kernel or virtual machine has no power PMU",
                "on hardware that has one, as root: modprobe rapl",
            )
        kind, places = int(_text(root / "type")), _places(root, cpus)
        counted = _counters(root, kind, places, "energy-psys" if psys else "energy-pkg", open_event)
        memories = [] if psys else _counters(root, kind, places, "energy-ram", open_event)
    except (OSError, ValueError, ArithmeticError) as error:
        raise SourceError(f"{root} cannot be read: {error}") from error
    if not counted:
        raise SourceError(*_nothing_to_count(root, psys=psys))
    return places, counted, memories


def _nothing_to_count(root: Path, *, psys: bool) -> tuple[str, str]:
    if psys:
        told = f"{root} has no event energy-psys: this machine does not count the whole platform"
        return told, "unset ENGINE_ENERGY_PSYS, to count the CPU packages"
    return f"{root} has no event energy-pkg: this machine's power PMU does not count its CPU packages", ""


def _counters(root: Path, kind: int, places: Sequence[_Place], event: str, open_event: OpenEvent) -> list[Counter]:
    """One for each place; none where there is no such event."""
    if not (root / "events" / event).is_file():
        return []
    config, unit_uj = _config(root / "events" / event), _unit_uj(root / "events", event)
    watts = PLATFORM_WATTS if event == "energy-psys" else PACKAGE_WATTS
    counters: list[Counter] = []
    for place in places:
        domain = {"energy-pkg": place.domain, "energy-ram": f"{place.domain}/dram", "energy-psys": "psys"}[event]
        try:
            opened = open_event(kind, config, place.cpu)
        except OSError as error:
            raise _refused(event, place.cpu, error) from error
        counters.append(Counter(domain, opened.read, update_ms=_UPDATE_MS, unit_uj=unit_uj, highest_watts=watts))
    return counters


def _refused(event: str, cpu: int, error: OSError) -> SourceError:
    if error.errno not in _REFUSED:
        return SourceError(f"the kernel refuses the event {event} on CPU {cpu}: {error.strerror}")
    try:
        bar = f" (kernel.perf_event_paranoid is {_text(_PARANOID)})"
    except OSError:
        bar = ""
    return SourceError(f"no permission to count {event} of the whole machine{bar}", PERF_REMEDY)


def _config(path: Path) -> int:
    """The ``config`` of an event, which sysfs describes as ``event=0x02``."""
    name, _, value = _text(path).partition("=")
    if name != "event":
        raise ValueError(f"{path} holds {_text(path)[:40]!r}, not the number of an event")
    return int(value, 16)


def _unit_uj(events: Path, event: str) -> Fraction:
    unit, scale = _text(events / f"{event}.unit"), _text(events / f"{event}.scale")
    if unit != "Joules":
        raise ValueError(f"{events / event}.unit is {unit[:40]!r}, not Joules")
    return Fraction(scale) * 1_000_000


def _places(root: Path, cpus: Path) -> list[_Place]:
    """The CPUs that the PMU counts on, each named as powercap names its zones."""
    found: list[tuple[int, str, str]] = []
    for cpu in _cpu_list(_text(root / "cpumask")):
        topology = cpus / f"cpu{cpu}" / "topology"
        found.append((cpu, f"package-{_text(topology / 'physical_package_id')}", _die(topology)))
    packages = [package for _, package, _ in found]
    return [
        _Place(cpu, package, package if packages.count(package) == 1 else f"{package}-die-{die}")
        for cpu, package, die in found
    ]


def _die(topology: Path) -> str:
    return _text(topology / "die_id") if (topology / "die_id").is_file() else "0"


def _cpu_list(text: str) -> list[int]:
    """The CPUs of a list in the kernel's form: ``0,32-33``."""
    cpus: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


def _without_mirrors(seen: Sequence[Seen], places: Sequence[_Place]) -> tuple[Seen, ...]:
    """Without dies that show the same counter as one before of their package: counters of their own hardly rise by the
    very same number of units from one poll to the next, and never do so most of the time.
    """
    kept: list[tuple[str, Seen]] = []
    for place, one in zip(places, seen, strict=False):  # there may be no event of the memory
        if not any(place.package == package and _mirrors(one, other) for package, other in kept):
            kept.append((place.package, one))
    return tuple(one for _, one in kept)


def _mirrors(one: Seen, other: Seen) -> bool:
    pairs = [pair for pair in zip(one.moves_uj, other.moves_uj, strict=True) if any(pair)]
    return 2 * sum(abs(first - second) <= 1 for first, second in pairs) > len(pairs)  # both are rounded


def _platform(seen: Sequence[Seen]) -> tuple[Seen, ...]:
    """One of several packages alone may show the platform; the others' counters then stand still."""
    moving = tuple(one for one in seen if one.moves)
    if len(moving) > 1:
        raise SourceError(
            f"energy-psys moves on {len(moving)} packages: which of them is the whole platform's is not known",
            "unset ENGINE_ENERGY_PSYS, to count the CPU packages",
        )
    return moving or tuple(seen)


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip()
