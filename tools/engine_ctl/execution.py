"""Following one execution from here to its record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from typing_extensions import assert_never

from engine_ctl.interrupts import interrupt_posts
from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.blocking import BlockingClient
from protocol.codec import client_message
from protocol.embedding import EmbeddingRequest
from protocol.errors import BadFrame
from protocol.evaluation import EvaluationRequest
from protocol.plan import RunRequest
from protocol.progress import StageProgress
from protocol.requests import Cancel, Embed, Evaluate, Rerank, Run
from protocol.reranking import RerankRequest


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


def parse_reranking(content: dict[str, object]) -> RerankRequest:
    """The ranking in plain values. Raises InvalidRequest, as the engine would."""
    message = client_message({"type": "Rerank", "request_id": 0, "request": content})
    if not isinstance(message, Rerank):
        raise TypeError(f"a Rerank became {message.type}")
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
                    cancel = Cancel(execution_id=message.execution_id)
                    accepted.enter_context(interrupt_posts(partial(client.post, cancel)))
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
