"""Entries of the store of records as files for other programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from protocol.metrics import EnergyReport, ExecutionMetrics
from protocol.record import UnjudgedLimit
from protocol.record_entry import FinishedEntry, InterruptedEntry
from protocol.value import Value
from protocol.whole_file import whole_file

Entries = Iterator[FinishedEntry | InterruptedEntry]

_PLAN = ("backend", "quantization", "kv_cache", "threads", "scheduler_policy", "energy_source")
_METRICS = tuple(name for name in ExecutionMetrics.model_fields if name != "energy")
_ENERGY = tuple(EnergyReport.model_fields)
_COLUMNS = (
    *("sequence", "recorded_at", "started_at", "execution_id", "engine_version", "build", "arithmetic", "stop_reason"),
    *("plan_fingerprint", "unjudged_limits"),
    *("model", "content_hash", *_PLAN, "logits_digest", *_METRICS),
    *(f"energy_{name}" for name in _ENERGY),
)


@contextmanager
def opened(output: Path) -> Iterator[TextIO]:
    """Where entries are written: standard output for ``-``, a pipe or a device as it is, else a file that is there once
    it is whole. Raises click.FileError."""
    if str(output) == "-":
        yield sys.stdout
        return
    try:
        is_new = not output.exists() or output.is_file()
        with whole_file(output) if is_new else output.open("wb") as file:
            text = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
            yield text
            text.detach()
    except OSError as error:
        raise click.FileError(str(output), hint=error.strerror) from error


def write_ndjson(entries: Entries, output: TextIO) -> None:
    """Write one entry on each line."""
    for entry in entries:
        output.write(entry.model_dump_json() + "\n")


def write_json(entries: Entries, output: TextIO) -> None:
    """Write one array, entry by entry."""
    output.write("[")
    for index, entry in enumerate(entries):
        output.write(("," if index else "") + "\n" + entry.model_dump_json())
    output.write("\n]\n")


def write_csv(entries: Entries, output: TextIO) -> None:
    """Write the figures and decisions, without prompts and answers; unknown cells are empty."""
    table = csv.DictWriter(output, _COLUMNS)
    table.writeheader()
    for entry in entries:
        table.writerow(_row(entry))


WRITERS: Mapping[str, Callable[[Entries, TextIO], None]] = {
    "ndjson": write_ndjson,
    "json": write_json,
    "csv": write_csv,
}


def _row(entry: FinishedEntry | InterruptedEntry) -> dict[str, Any]:
    record = entry.record
    row: dict[str, Any] = {
        "sequence": entry.sequence,
        "recorded_at": entry.recorded_at,
        "started_at": entry.started_at,
        "execution_id": record.execution_id,
        "engine_version": record.engine_version,
        "build": None if record.build is None else record.build.id,
        "arithmetic": None if record.build is None else record.build.arithmetic,
        "stop_reason": record.stop_reason,
        "plan_fingerprint": record.plan_fingerprint,
        "model": record.plan.model_ref.name,
        "content_hash": record.plan.model_ref.content_hash,
        **{name: getattr(record.plan, name) for name in _PLAN},
    }
    if isinstance(entry, InterruptedEntry):
        return row
    metrics = entry.record.metrics
    row |= {"logits_digest": entry.record.logits_digest, "unjudged_limits": _limits(entry.record.unjudged_limits)}
    row |= {name: _cell(getattr(metrics, name)) for name in _METRICS}
    return row | {f"energy_{name}": _cell(getattr(metrics.energy, name)) for name in _ENERGY}


def _limits(unjudged: tuple[UnjudgedLimit, ...] | None) -> str | None:
    """Names of limits as JSON; ``None``: an earlier engine did not record them."""
    return None if unjudged is None else json.dumps([each.limit for each in unjudged])


def _cell(value: object) -> object:
    """Groups of figures as JSON."""
    if isinstance(value, Value):
        return value.model_dump_json()
    if isinstance(value, tuple | list | dict):
        return json.dumps(value)
    return value
