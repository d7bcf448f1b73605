"""Calls of tools for a person: a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.record import ChoiceRecord
    from protocol.run_view import ShownChoice, ShownRecord


def call_lines(choice: ChoiceRecord | ShownChoice | ShownRecord) -> list[str]:
    """The calls of an answer, as ``name {"by": "name"}``: the tool, a space and its arguments in JSON."""
    return [f"{call.name} {call.arguments}" for call in choice.tool_calls]
