"""A role at work on a task: asked, answered, its tools used, until it decides or its turns are over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from auton.provider import MOST_CALLS, Question, Reply
from auton.settings import Role, Settings
from auton.toolbox import Toolbox, descriptions

MOST_TURNS = 40
_MOST_REMINDERS = 3
_REMINDER = "Call a tool. What you say without one has no effect."
_LEFT_OUT = f"{{}} calls more were not made: an answer may have {MOST_CALLS}."

INSTRUCTIONS: dict[Role, str] = {
    "manager": (
        "You plan changes of a Git repository. Look at its files, then add tasks that developers can do side by side, "
        "each with the paths that it may change, and finish the plan. Tasks that change the same file must come one "
        "after the other."
    ),
    "developer": (
        "You change files of a Git repository to do one task. Write only the task's paths: text alone, no secrets, as "
        "few lines as do it well. Submit when it is done."
    ),
    "reviewer": (
        "You review a change of a Git repository. It has passed the checks of paths and sizes. Approve it if it does "
        "what its task says and nothing else; else reject it and say what must be different."
    ),
    "tester": (
        "You judge what has come together in a Git repository against its goal, with what building and testing said. "
        "Accept it, or report the fault."
    ),
}


@dataclass(frozen=True)
class Post:
    """Who works on what, and in which attempt."""

    role: Role
    task: str
    attempt: int = 1


async def converse(
    post: Post, opening: str, toolbox: Toolbox, settings: Settings, ask: Callable[[Question], Awaitable[Reply]]
) -> bool:
    """Whether the role came to a decision, which is in its toolbox. Raises what ``ask`` raises.

    One that only talks is reminded a few times, and then given up.
    """
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": INSTRUCTIONS[post.role]},
        {"role": "user", "content": opening},
    ]
    reminders = 0
    for turn in range(MOST_TURNS):
        reply = await ask(_question(post, turn, messages, settings))
        messages.append(reply.as_message())
        for call in reply.calls:
            messages.append({"role": "tool", "tool_call_id": call.call_id, "content": toolbox.use(call)})
            if toolbox.decision is not None:
                return True
        if reply.left_out:
            messages.append({"role": "user", "content": _LEFT_OUT.format(reply.left_out)})
        reminders = 0 if reply.calls else reminders + 1
        if reminders > _MOST_REMINDERS:
            return False
        if not reply.calls:
            messages.append({"role": "user", "content": _REMINDER})
    return False


def _question(post: Post, turn: int, messages: list[dict[str, Any]], settings: Settings) -> Question:
    return Question(
        role=post.role,
        task=post.task,
        attempt=post.attempt,
        turn=turn,
        model=settings.model_of(post.role),
        messages=tuple(messages),
        tools=descriptions(post.role),
        max_tokens=settings.llm.max_tokens,
        temperature=settings.llm.temperature,
        api_base=settings.llm.api_base,
    )
