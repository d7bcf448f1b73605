"""The folder of a report: ``report.json`` has everything, ``report.html`` and its pictures are made of it."""

from __future__ import annotations

from pathlib import Path

from protocol.errors import InvalidRequest
from protocol.whole_file import write_whole
from weos_agents.report.optimization_page import optimization_page, pictures
from weos_agents.report.optimization_report import OptimizationReport

_DATA = "report.json"


def write_report(folder: Path, report: OptimizationReport) -> Path:
    """Write all files, each whole or not at all; the page's path. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _DATA, f"{report.model_dump_json(indent=1)}\n".encode())
    made = pictures(report)
    for name, content in made.items():
        write_whole(folder / name, content)
    path = folder / "report.html"
    write_whole(path, optimization_page(report, made).encode())
    return path


def read_report(folder: Path) -> OptimizationReport:
    """Raises InvalidRequest: there is no report, or one of another version."""
    path = folder / _DATA
    try:
        return OptimizationReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path} holds no report: {error}", field="folder") from error
