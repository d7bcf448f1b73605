"""Inputs to experiment with, in two halves: plans are chosen on one and proved on the other. Pure but for the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from protocol.codec import invalid_request
from protocol.errors import InvalidRequest
from protocol.experiment import WorkloadInput
from protocol.value import Value

_LEAST = 2
"""Inputs of each half."""
INPUT_FIELDS = ("prompt", "prompt_token_ids", "messages", "tools")


class WorkloadLine(Value):
    """One input, as a Run Request has it: fields of :data:`INPUT_FIELDS`."""

    content: str
    """Canonical JSON."""

    @property
    def fields(self) -> dict[str, Any]:
        """The request's fields."""
        fields: dict[str, Any] = json.loads(self.content)
        return fields


class Workload(Value):
    """The two halves. Which half an input is in depends on its own content alone, and on what else is there."""

    choosing: tuple[WorkloadLine, ...]
    confirming: tuple[WorkloadLine, ...]

    @classmethod
    def read(cls, path: Path) -> Workload:
        """The workload in a file of JSON lines. Raises InvalidRequest, also where the file is no UTF-8."""
        return cls.of(read_text(path, "workload").splitlines())

    @classmethod
    def of(cls, lines: Iterable[str]) -> Workload:
        """Inputs that are there several times count once. Raises InvalidRequest: not JSON, no input, or too few."""
        inputs = {_line(number, line) for number, line in enumerate(lines, 1) if line.strip()}
        if len({tuple(sorted(line.fields)) for line in inputs}) > 1:
            raise InvalidRequest(
                "the workload mixes inputs that one plan cannot answer: give prompts, messages, or messages with tools",
                field="workload",
            )
        ordered = sorted(inputs, key=lambda line: hashlib.sha256(line.content.encode()).digest())
        halves = ordered[::2], ordered[1::2]
        if min(map(len, halves)) < _LEAST:
            raise InvalidRequest(
                f"the workload has {len(ordered)} different inputs; give {2 * _LEAST} or more, since plans are proved "
                "on other inputs than those they are chosen on",
                field="workload",
            )
        return cls(choosing=tuple(halves[0]), confirming=tuple(halves[1]))


def read_text(path: Path, field: str) -> str:
    """A file's text. Raises InvalidRequest: it cannot be read, or is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is no UTF-8: {error.reason} at byte {error.start}", field=field) from error
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror or error}", field=field) from error


def _line(number: int, line: str) -> WorkloadLine:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"line {number} of the workload is not JSON: {error}", field="workload") from error
    if not isinstance(content, dict) or not content.keys() & set(INPUT_FIELDS):
        raise InvalidRequest(f"line {number} of the workload has no prompt and no messages", field="workload")
    if unknown := sorted(content.keys() - set(INPUT_FIELDS)):
        raise InvalidRequest(f"line {number} of the workload has {', '.join(unknown)}", field="workload")
    try:
        WorkloadInput.model_validate(content, strict=False)
    except ValidationError as error:
        told = invalid_request(error).message
        raise InvalidRequest(f"line {number} of the workload: {told}", field="workload") from error
    return WorkloadLine(content=json.dumps(content, sort_keys=True, ensure_ascii=False))
