"""ik_llama.cpp's benchmark program, in a build that the user made and names in ``ENGINE_IK_BENCH``."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.bench.work import Work

VARIABLE = "ENGINE_IK_BENCH"


def ik_program(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The program that ``ENGINE_IK_BENCH`` names, or None where it names none.

    Raises:
        FileNotFoundError: it names what is no program.
    """
    named = environment.get(VARIABLE)
    if not named:
        return None
    program = Path(named)
    if not (program.is_file() and os.access(program, os.X_OK)):
        raise FileNotFoundError(
            f"{VARIABLE} names {named}, which is no program: it should be ik_llama.cpp's llama-bench"
        )
    return program


@dataclass(frozen=True, slots=True)
class _Setting:
    flash: bool
    repack: bool

    @property
    def options(self) -> tuple[str, ...]:
        return ("-fa", str(int(self.flash)), "-rtr", str(int(self.repack)))

    def __str__(self) -> str:
        words = {True: "on", False: "off"}
        return f"flash attention {words[self.flash]}, repacking {words[self.repack]}"


_SETTINGS = tuple(_Setting(*each) for each in itertools.product((False, True), repeat=2))


class IkLlamaCpp:
    """One model in the user's build. Every turn is a process of its own, which warms up first."""

    name = "ik_llama.cpp"

    def __init__(self, program: Path, path: Path, threads: int) -> None:
        self._command = [str(program), "-m", str(path), "-t", str(threads), "-o", "json"]
        self._fastest: dict[str, _Setting] = {}

    @staticmethod
    def takes(work: Work) -> bool:
        """Whether its program can do the work: it computes one sequence at a time."""
        return work.sequences == 1

    def rate(self, work: Work) -> float:
        """Tokens a second, the median of the work's repetitions, in the settings that are fastest here.

        The first call for a work tries flash attention and run-time repacking, on and off, and gives the best rate.
        """
        if work.name in self._fastest:
            return self._rate(work, self._fastest[work.name])
        rates = {setting: self._rate(work, setting) for setting in _SETTINGS}
        self._fastest[work.name] = max(rates, key=rates.__getitem__)
        return max(rates.values())

    def setting(self, work: Work) -> str:
        """The settings that were fastest."""
        return str(self._fastest[work.name])

    def _rate(self, work: Work, setting: _Setting) -> float:
        # Decoding behind a prompt is a test of its own, which does not count the prompt.
        behind = ("-gp", f"{work.prompt},{work.generated}") if work.prompt and not work.is_prefill else ()
        prompt, generated = (0, 0) if behind else (work.prompt, work.generated)
        tests = ("-p", str(prompt), "-n", str(generated), *behind, "-r", str(work.repetitions))
        run = subprocess.run([*self._command, *setting.options, *tests], capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(f"ik_llama.cpp's llama-bench ended with {run.returncode}: {run.stderr[-2000:]}")
        return statistics.median(float(rate) for rate in json.loads(run.stdout)[0]["samples_ts"])
