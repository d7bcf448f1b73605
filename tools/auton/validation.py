"""Building, testing and booting what a worktree holds, by the operator's commands, in isolation alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from auton.qemu import boot_command
from auton.sandbox import Ran
from auton.settings import Architecture, Settings

CROSS: Mapping[Architecture, str] = {
    "x86_64": "x86_64-linux-gnu-",
    "aarch64": "aarch64-linux-gnu-",
    "riscv64": "riscv64-linux-gnu-",
}
"""The prefix of each architecture's compiler, as Debian's packages ``gcc-x86-64-linux-gnu`` and so on have it."""

Step = Literal["build", "test", "boot"]


class Isolation(Protocol):
    """Where commands run: :class:`auton.sandbox.Sandbox`."""

    def run(self, command: tuple[str, ...], folder: Path, timeout_s: float, until: str = "") -> Ran:
        """Run a command in a folder; ``until``: to the moment when it prints this."""


@dataclass(frozen=True)
class Validated:
    """What came of a step."""

    step: Step
    ran: Ran

    def told(self) -> str:
        """For a reader: how it ended, and the end of what it printed."""
        ended = "took too long" if self.ran.exit_code is None else f"ended with {self.ran.exit_code}"
        return f"{self.step} {ended}\n{self.ran.output}".strip()


def validate(folder: Path, steps: tuple[Step, ...], settings: Settings, isolation: Isolation | None) -> list[Validated]:
    """Run the steps that have a command, until one fails."""
    found: list[Validated] = []
    for step in steps:
        command = command_of(step, settings)
        if not command or isolation is None:
            continue
        options = settings.validation
        timeout = options.build_timeout if step == "build" else options.test_timeout
        until = options.serial_expect if step == "boot" else ""
        found.append(Validated(step, isolation.run(command, folder, timeout, until)))
        if not found[-1].ran.succeeded:
            break
    return found


def command_of(step: Step, settings: Settings) -> tuple[str, ...]:
    """The command of a step for the architecture that is set; empty: there is none."""
    options, arch = settings.validation, settings.kernel.arch
    if step == "boot":
        return boot_command(arch, options.kernel.replace("{arch}", arch)) if options.kernel else ()
    command = options.build_command if step == "build" else options.test_command
    return tuple(part.replace("{arch}", arch).replace("{cross}", CROSS[arch]) for part in command)
