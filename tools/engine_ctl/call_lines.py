"""Calls of tools for a person: a line each."""

from __future__ import annotations

from protocol.record import ChoiceRecord


def call_lines(choice: ChoiceRecord) -> list[str]:
    """The calls of an answer, as ``name {"by": "name"}``: the tool, a space and its arguments in JSON."""
    return [f"{call.name} {call.arguments}" for call in choice.tool_calls]
