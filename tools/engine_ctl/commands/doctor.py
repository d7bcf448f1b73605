"""``engine-ctl doctor``: checks of this machine, its permissions and the engine's folders, with remedies."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.exit_codes import INTERNAL_ERROR
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.doctor.doctor import Check

_MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}


@click.command(name="doctor")
@socket_option
@json_option
@click.pass_context
def command(ctx: click.Context, socket: Path | None, as_json: bool) -> None:
    """Check the machine, permissions, backends, energy sources, socket, cache and disk.

    Says how to mend each problem. Starts nothing, changes nothing and needs no special rights. Exits with 1 if there is
    a problem, with 0 if there are none or only warnings.
    """
    from engine.doctor.doctor import examine
    from engine.doctor.doctor_facts import probe_facts
    from protocol.address import default_socket_path

    checks = examine(probe_facts((socket or default_socket_path()).absolute()))
    healthy = all(check.status != "problem" for check in checks)
    if as_json:
        click.echo(json.dumps({"healthy": healthy, "checks": [asdict(check) for check in checks]}, ensure_ascii=False))
    else:
        for line in lines(checks):
            click.echo(line)
    ctx.exit(0 if healthy else INTERNAL_ERROR)


def lines(checks: Sequence[Check]) -> list[str]:
    """For a person: a line for each check, and under it what to do."""
    width = max(len(check.name) for check in checks)
    told: list[str] = []
    for check in checks:
        told.append(f"{_MARKS[check.status]:7}  {check.name:{width}}  {check.found}")
        told += [f"{'':9}{'':{width}}  {line}" for line in check.remedy.splitlines()]
    return told
