"""``auton validate``: build and test what is committed, in isolation, without any agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from auton.commands.options import config_option, repository_option
from auton.errors import AutonError
from auton.settings import Architecture, Settings, ValidationSettings, load_settings
from auton.text import shown

if TYPE_CHECKING:
    from auton.validation import Step


@click.command(name="validate")
@click.option("--build", is_flag=True, help="Run validation.build_command.")
@click.option("--test", is_flag=True, help="Run validation.test_command on what was built, and boot validation.kernel.")
@click.option("--composition", is_flag=True, help="Build for each architecture.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds, in place of the settings'.")
@config_option
@repository_option
def command(
    *, build: bool, test: bool, composition: bool, timeout: float | None, config_path: Path, folder: Path
) -> None:
    """Build and test the commit that is checked out, in bubblewrap. Nothing is built without it."""
    from auton.repository import Repository, Worktree, export
    from auton.sandbox import Sandbox
    from auton.validation import CROSS, command_of, validate
    from auton.workspace import workspace

    settings = _with_timeout(load_settings(config_path), timeout)
    wanted: tuple[Step, ...] = (*(("build",) if build or composition else ()), *(("test", "boot") if test else ()))
    if not wanted:
        raise AutonError("nothing to validate: --build, --test or --composition")
    if not any(command_of(step, settings) for step in wanted):
        raise AutonError(f"{config_path} has no build_command, test_command or kernel for this under [validation]")
    steps: tuple[Step, ...] = wanted if "build" in wanted else ("build", *wanted)
    repository, isolation = Repository(folder), Sandbox()
    checked_out = Worktree(repository.folder, "HEAD", repository.head())
    failed = False
    for arch in CROSS if composition else (settings.kernel.arch,):
        with workspace() as built:
            export(checked_out, built)
            for one in validate(built, steps, _for(settings, arch), isolation):
                click.echo(f"{arch}: {shown(one.told())}")
                failed |= not one.ran.succeeded
    if failed:
        raise SystemExit(1)


def _with_timeout(settings: Settings, timeout: float | None) -> Settings:
    if timeout is None:
        return settings
    options = {**settings.validation.model_dump(), "build_timeout": timeout, "test_timeout": timeout}
    try:
        changed = ValidationSettings.model_validate(options)
    except ValidationError as error:
        raise AutonError(f"--timeout: {error.errors()[0]['msg']}") from error
    return settings.model_copy(update={"validation": changed})


def _for(settings: Settings, arch: Architecture) -> Settings:
    return settings.model_copy(update={"kernel": settings.kernel.model_copy(update={"arch": arch})})
