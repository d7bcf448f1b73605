"""Where an answer ends, as a request asks and a plan says."""

from __future__ import annotations

from collections.abc import Sequence

from engine.artifact.model_facts import ModelFacts
from engine.text.tokenizer import Tokenizer
from protocol.errors import InvalidRequest
from protocol.plan import PlanStop, Stop


def string_token_ids(strings: Sequence[str], tokenizer: Tokenizer) -> tuple[int, ...]:
    """The control tokens that stop strings spell: as text none of them would ever appear."""
    found = (tokenizer.control_id(string) for string in strings)
    return tuple(dict.fromkeys(token_id for token_id in found if token_id is not None))


def plan_stop(stop: Stop, model: ModelFacts, more: Sequence[str], string_token_ids: tuple[int, ...]) -> PlanStop:
    """The plan's part; ``more`` strings end an answer too.

    Raises InvalidRequest: the model lacks one of ``token_ids``.
    """
    for index, token_id in enumerate(stop.token_ids):
        if token_id >= model.vocab_size:
            raise InvalidRequest(
                f"no token {token_id}; this vocabulary has ids 0 to {model.vocab_size - 1}",
                field=f"execution.stop.token_ids.{index}",
                value=token_id,
                maximum=model.vocab_size - 1,
            )
    return PlanStop(
        eos=stop.eos,
        strings=(*stop.strings, *more),
        token_ids=stop.token_ids,
        eos_token_ids=model.eos_token_ids if stop.eos else (),
        string_token_ids=string_token_ids,
    )
