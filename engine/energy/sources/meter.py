"""Joules from a meter outside the CPU: a smart plug, a power supply, a management controller.

Whatever tells them tells them as text: a number of joules that only ever rises, or one with its unit, in a file or as
what a command prints.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from engine.energy.sources.counted_source import CountedSource
from engine.energy.sources.counter import PLATFORM_WATTS, Counter
from engine.energy.sources.self_test import LONGEST_S, require_movement, watch
from engine.energy.sources.source import SourceError

COMMAND_S = 2.0
"""A command that takes longer is ended: its number would be of no moment in particular."""
_MOST_CHARACTERS = 100
_SHORTEST_SECRET = 4
_JOULES = re.compile(r"(\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,2})?)\s*(J|uJ|Wh|kWh)?")
_MICROJOULES = {"J": 10**6, "uJ": 1, "Wh": 3600 * 10**6, "kWh": 3600 * 10**9}
_MOVES_IN_A_TEST = 4
"""A meter that moves less often cannot be seen to move at start; in use it is seen to stand still."""
_HOW_TO_NAME_ONE = (
    "name one: ENGINE_ENERGY_METER_FILE=/path of a file that holds joules, or ENGINE_ENERGY_METER_COMMAND='program "
    "argument' that prints them (units: J, uJ, Wh, kWh), and ENGINE_ENERGY_METER_UPDATE_MS, how often they move"
)


class MeterSource(CountedSource):
    """One counter of whatever the meter is plugged into."""

    def __init__(
        self,
        file: Path | None,
        command: Sequence[str],
        update_ms: float,
        pause: Callable[[float], None] = time.sleep,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        run: Callable[[Sequence[str]], str] | None = None,
    ) -> None:
        """Read it once; one that moves often enough is seen to move as well. ``command``: a program and its arguments,
        which ``run``, or this process, has print.

        Raises:
            SourceError: none is named, or it cannot be read, tells no joules, or stands still.
        """
        if file is None and not command:
            raise SourceError("no meter is named", _HOW_TO_NAME_ONE)
        self._slowest_ms = 0.0

        def read_uj() -> int:
            began_ns = clock()
            text = (run or run_command)(command) if file is None else _content(file)
            self._slowest_ms = max(self._slowest_ms, (clock() - began_ns) / 1e6)
            return _microjoules(text)

        counter = Counter("meter", read_uj, update_ms=update_ms, highest_watts=PLATFORM_WATTS)
        # The arguments may hold a password, and where the meter is named goes into records.
        where = command[0] if file is None else str(file)
        _require_joules(counter, where, clock())
        if file is not None and _MOVES_IN_A_TEST * update_ms / 1e3 <= LONGEST_S:
            require_movement(watch([counter], update_ms, clock, pause), where)
        super().__init__("meter", [counter], update_ms=update_ms, slow=file is None, clock=clock)

    @property
    def update_ms(self) -> float:
        """Includes the slowest run of the command: its reading may be from any moment of the run."""
        return super().update_ms + (self._slowest_ms if self.slow else 0.0)


def _require_joules(counter: Counter, where: str, now_ns: int) -> None:
    try:
        counter.advance(now_ns)
    except PermissionError as error:
        raise SourceError(
            f"no permission for {error.filename or where}", "give it to the user that the engine runs as"
        ) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{where}: {error}", "correct what ENGINE_ENERGY_METER_… names") from error


def _content(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file, and reading it could take for ever")
    with path.open(encoding="ascii", errors="replace") as file:
        return file.read(_MOST_CHARACTERS)


def run_command(command: Sequence[str]) -> str:
    """What the command printed. Blocking, up to two seconds. Raises OSError."""
    process = subprocess.Popen(  # noqa: S603  the user's own choice
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that what it started ends with it
    )
    with process:
        try:
            printed, complaint = process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise TimeoutError(f"it took longer than {COMMAND_S:g} s") from None
    if process.returncode != 0:
        told = complaint.decode("utf-8", "replace").strip().partition("\n")[0]
        raise OSError(f"it ended with {process.returncode}: {_without(command[1:], told)[:_MOST_CHARACTERS]}")
    return printed[:_MOST_CHARACTERS].decode("ascii", "replace")


def _without(arguments: Sequence[str], text: str) -> str:
    """The text with the arguments left out that it repeats."""
    for argument in sorted(arguments, key=len, reverse=True):
        if len(argument) >= _SHORTEST_SECRET:
            text = text.replace(argument, "…")
    return text


def _microjoules(text: str) -> int:
    found = _JOULES.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"it tells {text.strip()[:40]!r}, not a number of joules, or one in J, uJ, Wh or kWh")
    return int(Fraction(found[1]) * _MICROJOULES[found[2] or "J"])
