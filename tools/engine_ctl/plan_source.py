"""A plan from a file or from standard input, as a part of a Run Request."""

from __future__ import annotations

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
    prints, or a record.

    Raises click.BadParameter: it holds no plan.
    """
    content = read_json(path, "--plan")
    plan = content.get("plan", content) if isinstance(content, dict) else None
    if not isinstance(plan, dict):
        raise click.BadParameter(f"{path} does not hold a plan, which is a JSON object", param_hint="--plan")
    named = {name: Model().convert(plan[name], None, None) for name in ("model", "model_ref") if _is_text(plan, name)}
    build = content.get("build") if plan is not content else None
    return {"plan": {**plan, **named}} | ({"build": build["id"]} if isinstance(build, dict) and "id" in build else {})


def _is_text(plan: Content, name: str) -> bool:
    return isinstance(plan.get(name), str)
