"""``/props`` and ``/slots``: what llama-server tells of itself, as far as this engine has the like of it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from pydantic import RootModel

from protocol.answers import ModelDescription, Planned, StatusReport
from protocol.dialects.llama_server.settings import generation_settings


def properties(planned: Planned, model: ModelDescription, status: StatusReport) -> dict[str, Any]:
    """``planned``: what a completion that names nothing runs by. The model is told by its file's name alone."""
    plan = planned.plan
    template = model.metadata.get("tokenizer.chat_template", "")
    return {
        "default_generation_settings": {
            "n_ctx": plan.batch.context_length,
            "params": generation_settings(plan, stream=False),
        },
        "total_slots": plan.batch.max_sequences,
        "model_alias": model.name,
        "model_path": PurePath(model.path).name,
        "chat_template": template if isinstance(template, str) else "",
        "modalities": {"vision": False, "audio": False},
        "build_info": f"weos-engine {status.engine_version}",
        "is_sleeping": False,
    }


class Slots(RootModel[tuple[dict[str, Any], ...]]):
    """The answer of ``/slots``."""


def slots(planned: Planned, status: StatusReport) -> list[dict[str, Any]]:
    """One for each sequence that the model may run at a time: the executions that do, then those that are free."""
    plan = planned.plan
    busy = [one for one in status.executions if one.model == plan.model_ref.name and one.state != "queued"]
    told = []
    for number in range(plan.batch.max_sequences):
        one = busy[number] if number < len(busy) else None
        slot: dict[str, Any] = {
            "id": number,
            "n_ctx": plan.batch.context_length,
            "speculative": plan.speculation.kind != "off",
            "is_processing": one is not None,
        }
        if one is not None:
            slot |= {
                "execution_id": one.execution_id,
                "n_prompt_tokens": one.prompt_tokens,
                "n_decoded": one.tokens_total,
            }
        told.append(slot)
    return told
