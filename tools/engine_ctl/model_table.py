"""Models as a table for a person: plain text, whatever the terminal's width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_ctl.model_aliases import aliases

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from protocol.summaries import ModelSummary

_UNKNOWN = "-"
_HEADINGS = ("name", "architecture", "parameters", "types", "cached", "size", "memory", "licence", "file")
_RIGHT = ("parameters", "size", "memory")


def model_lines(models: Iterable[ModelSummary]) -> list[str]:
    """A line of headings, then one for each model."""
    rows = [_HEADINGS, *(tuple(map(_printable, _row(model))) for model in models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths) for row in rows]


def _printable(cell: str) -> str:
    """What a terminal would obey, as escapes: names come from files."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in cell)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if heading in _RIGHT else cell.ljust(width)
        for heading, cell, width in zip(_HEADINGS, row, widths, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _row(model: ModelSummary) -> tuple[str, ...]:
    return (
        _called(model.name),
        model.architecture or _UNKNOWN,
        _UNKNOWN if model.parameters is None else parameters(model.parameters),
        types(model.tensor_types),
        " ".join(model.cached) or _UNKNOWN,
        megabytes(model.size_bytes),
        _UNKNOWN if model.memory_bytes is None else megabytes(model.memory_bytes),
        model.licence or _UNKNOWN,
        _file(model),
    )


def _called(name: str) -> str:
    """The name, with those that the configuration file has for it."""
    others = [other for other, model in aliases().items() if model.lower() == name.lower()]
    return f"{name} ({', '.join(others)})" if others else name


def _file(model: ModelSummary) -> str:
    if not model.installed:
        if model.arrived_bytes is None:
            return "not pulled"
        return f"{megabytes(model.arrived_bytes)} have arrived; pull it to go on"
    notes = [f"{model.files} files"] if model.files > 1 else []
    notes += [model.reason] if model.reason else []
    notes += (
        [] if model.arrived_bytes is None else [f"{megabytes(model.arrived_bytes)} of another version have arrived"]
    )
    return model.path + (f" ({'; '.join(notes)})" if notes else "")


def megabytes(size_bytes: int) -> str:
    """A size in MB of 10^6 bytes."""
    return f"{size_bytes / 10**6:,.1f} MB"


def parameters(count: int) -> str:
    """A count such as ``134.5 M``."""
    return f"{count / 10**9:,.1f} G" if count >= 10**9 else f"{count / 10**6:,.1f} M"


def types(counts: dict[str, int] | None) -> str:
    """The types of the matrices, the most frequent first. Norms and biases are F32 in every file."""
    if not counts:
        return _UNKNOWN
    matrices = {kind: count for kind, count in counts.items() if kind != "F32"} or counts
    return " ".join(sorted(matrices, key=lambda kind: (-matrices[kind], kind)))
