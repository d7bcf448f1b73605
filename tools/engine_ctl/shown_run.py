"""Following one run from here to what is shown of its end, without building schemas."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from typing_extensions import assert_never

from engine_ctl.interrupts import interrupt_posts
from protocol.errors import BadFrame
from protocol.light_client import LightClient
from protocol.run_view import ShownAccepted, ShownFinished, ShownPlan, ShownProgress, ShownTokens


def follow_shown(
    client: LightClient,
    request: dict[str, Any],
    begin: Callable[[ShownPlan], None],
    show: Callable[[str], None],
    show_progress: Callable[[ShownProgress], None],
    show_thought: Callable[[str], None],
) -> ShownFinished:
    """Hand the plan to ``begin``, the text of the first choice to ``show`` as it comes, its thinking to
    ``show_thought``, and return the end.

    Ctrl-C cancels the execution, whose record still comes; a second one does not wait for it.

    Raises:
        EngineError: the request was refused or failed.
        KeyboardInterrupt: Ctrl-C before the request was accepted, or twice.
    """
    with ExitStack() as accepted:
        for message in client.run(request):
            match message:
                case ShownAccepted():
                    accepted.enter_context(interrupt_posts(partial(client.cancel, message.execution_id)))
                    begin(message.plan)
                case ShownTokens():
                    if message.choice == 0 and message.reasoning:
                        show_thought(message.reasoning)
                    if message.choice == 0:
                        show(message.text)
                case ShownProgress():
                    show_progress(message)
                case ShownFinished():
                    return message
                case _:
                    assert_never(message)
    raise BadFrame("the engine ended the execution without its record")
