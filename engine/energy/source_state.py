"""What a person is told of one energy source on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.energy.sources.source import EnergySource

DECLARED = "declared at start-up for plans that leave their energy source open"


@dataclass(frozen=True, slots=True)
class SourceState:
    """Works where there is no ``reason`` why not; else nothing but the reason and the remedy is known."""

    name: str
    kind: Literal["measured", "modelled"] | None = None
    domains: tuple[str, ...] = ()
    """What it counts, and behind that the memory, apart."""
    update_ms: float | None = None
    max_interval_s: float | None = None
    """``None`` also where nothing wraps."""
    notes: tuple[str, ...] = ()
    """What it leaves out, and why."""
    reason: str = ""
    remedy: str = ""
    """Exactly what would make it work; empty where nothing would."""

    @property
    def works(self) -> bool:
        """Whether the source can be read here."""
        return not self.reason


def state_of(source: EnergySource, *, declared: bool = False) -> SourceState:
    """The state of a source that works; ``declared``: the operator chose it for plans that leave theirs open."""
    chosen = (DECLARED,) if declared else ("for plans that name it",) if source.kind == "modelled" else ()
    notes = (*chosen, *source.notes)
    return SourceState(source.name, source.kind, source.domains, source.update_ms, source.max_interval_s, notes)
