"""What a candidate changes of the engine's own plan, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weos_agents.report.field_words import meaning


def change_rows(plan: Mapping[str, Any], changes: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Field, what it sets, its value before and after."""
    return [(name, meaning(name), str(_at(plan, name)), str(to)) for name, to in changes.items()]


def listed(plan: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """``threads = 4 (instead of 8)``."""
    return ", ".join(f"{name} = {to} (instead of {_at(plan, name)})" for name, to in changes.items())


def old_and_new(plan: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """``threads: 8 → 4``."""
    return ", ".join(f"{name}: {_at(plan, name)} → {to}" for name, to in changes.items())


def _at(plan: Mapping[str, Any], name: str) -> Any:
    value: Any = plan
    for part in name.split("."):
        value = value[part]
    return value
