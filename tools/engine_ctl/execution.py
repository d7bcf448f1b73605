"""Following one execution from here to its record."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from typing_extensions import assert_never

from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.blocking import BlockingClient
from protocol.codec import client_message
from protocol.embedding import EmbeddingRequest
from protocol.errors import BadFrame
from protocol.evaluation import EvaluationRequest
from protocol.plan import RunRequest
from protocol.progress import StageProgress
from protocol.requests import Cancel, Embed, Evaluate, Run


def parse_request(content: dict[str, object]) -> RunRequest:
    """The Run Request in plain values. Raises InvalidRequest, as the engine would."""
    message = client_message({"type": "Run", "request_id": 0, "request": content})
    if not isinstance(message, Run):
        raise TypeError(f"a Run became {message.type}")
    return message.request


def parse_evaluation(content: dict[str, object]) -> EvaluationRequest:
    """The evaluation in plain values. Raises InvalidRequest, as the engine would."""
    message = client_message({"type": "Evaluate", "request_id": 0, "request": content})
    if not isinstance(message, Evaluate):
        raise TypeError(f"an Evaluate became {message.type}")
    return message.request


def parse_embedding(content: dict[str, object]) -> EmbeddingRequest:
    """The embedding in plain values. Raises InvalidRequest, as the engine would."""
    message = client_message({"type": "Embed", "request_id": 0, "request": content})
    if not isinstance(message, Embed):
        raise TypeError(f"an Embed became {message.type}")
    return message.request


def follow(
    client: BlockingClient,
    messages: Iterator[RunMessage],
    show: Callable[[str], None],
    show_progress: Callable[[StageProgress], None],
    show_thought: Callable[[str], None] = lambda text: None,
) -> Finished:
    """Hand the text of an execution's first choice to ``show`` as it comes, its thinking to ``show_thought``, and
    return its end.

    Ctrl-C cancels the execution, whose record still comes; a second one does not wait for it.

    Raises:
        EngineError: the request was refused or failed.
        KeyboardInterrupt: Ctrl-C before the request was accepted, or twice.
    """
    with ExitStack() as accepted:
        for message in messages:
            match message:
                case Accepted():
                    accepted.enter_context(_interrupt_cancels(client, message.execution_id))
                case Tokens():
                    if message.choice == 0 and message.reasoning:
                        show_thought(message.reasoning)
                    if message.choice == 0:
                        show(message.text)
                case Progress():
                    show_progress(message)
                case Finished():
                    return message
                case _:
                    assert_never(message)
    raise BadFrame("the engine ended the execution without its record")


@contextmanager
def _interrupt_cancels(client: BlockingClient, execution_id: str) -> Iterator[None]:
    def cancel(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        client.post(Cancel(execution_id=execution_id))

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # a script's background job, which its terminal's Ctrl-C is not meant for
        yield
        return
    signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
