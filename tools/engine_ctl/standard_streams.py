"""The process's standard streams, made fit for a command whatever they were started with."""

from __future__ import annotations

import io
import os
import sys


def prepare_streams() -> None:
    """Open what is closed to nothing, and have characters that stdout's encoding lacks shown as escapes.

    Without, each of these would end a command in a traceback.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123  for the life of the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Let go of what stdout holds back and could not write, so that the interpreter's end does not try again."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return  # it has no descriptor, and so nothing to be written at the end
