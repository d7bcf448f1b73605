"""A plan from a file or from standard input, as a part of a Run Request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine_ctl.json_source import read_json
from engine_ctl.options import Model

Content = dict[str, Any]


def planned_request(plan: Content, said: Content, given: Content) -> Content:
    """The Run Request of a plan: ``given`` is its input, ``said`` what flags say besides."""
    return {**plan, **{name: value for name, value in said.items() if value is not None}, **given}


def read_plan(path: str) -> Content:
    """The ``plan`` in a file, and the ``build`` that made it where the file says so: a plan alone, what `plan --json`
    prints, or a record, in its entry or alone.

    Raises click.BadParameter: it holds no plan.
    """
    if path.startswith("exec-") and not Path(path).exists():
        raise click.BadParameter(
            f"{path} is an execution and no file: engine-ctl executions show {path} --json | engine-ctl run --plan -",
            param_hint="--plan",
        )
    content = read_json(path, "--plan")
    for part in ("entry", "record"):  # as `executions show --json` tells an execution
        content = content.get(part, content) if isinstance(content, dict) else content
    plan = content.get("plan", content) if isinstance(content, dict) else None
    if not isinstance(plan, dict):
        raise click.BadParameter(f"{path} does not hold a plan, which is a JSON object", param_hint="--plan")
    named = {name: Model().convert(plan[name], None, None) for name in ("model", "model_ref") if _is_text(plan, name)}
    build = content.get("build") if plan is not content else None
    return {"plan": {**plan, **named}} | ({"build": build["id"]} if isinstance(build, dict) and "id" in build else {})


def _is_text(plan: Content, name: str) -> bool:
    return isinstance(plan.get(name), str)
