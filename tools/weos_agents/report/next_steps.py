"""What a reader can do after an optimization: use the plan that was proved, or undo it. Pure."""

from __future__ import annotations

from weos_agents.applying import Applied


def outcome(applied: Applied | None, *, proved: bool) -> str:
    """What became of the plan, in a few sentences."""
    if not proved:
        return "Nothing was proposed and nothing was changed."
    if applied is None:
        return "It is proved. Whether it was proposed is not told here: see engine-ctl proposals ls."
    if applied.name is None:
        return f"It is proposed and validated as {applied.proposal}, and not applied: nothing runs by it yet."
    told = f"It was applied: {_behind(applied)}."
    if applied.watched is not None:
        found = applied.breach or "they proved nothing against it"
        told += f" It was watched over {len(applied.watched.pairs)} pairs after that: {found}."
    if applied.rolled_back is not None:
        told += f" It was rolled back: version {applied.rolled_back} has the plan before again."
    return told


def use(applied: Applied | None) -> str:
    """How to run by the plan; empty: there is none to run by."""
    if applied is None or applied.rolled_back is not None:
        return ""
    if applied.name is None:
        return f"engine-ctl proposals apply {applied.proposal} --name NAME --agent by-hand"
    return f"engine-ctl run --plan-name {applied.name} --prompt …"


def undo(applied: Applied | None, *, proved: bool) -> str:
    """How to have the plan before again."""
    if not proved:
        return "nothing to undo: no plan was changed"
    if applied is None:
        return "see engine-ctl plans ls, whether it was applied"
    if applied.name is None:
        return "nothing to undo: it is not applied"
    if applied.rolled_back is not None:
        return "nothing to undo: it was rolled back"
    if applied.version == 1:
        return f"run without the name {applied.name}: it has no version before this one to roll back to"
    return f"engine-ctl plans roll-back {applied.name} --agent by-hand --reason …"


def _behind(applied: Applied) -> str:
    return f"executions that name the plan {applied.name} run by it, its version {applied.version}"
