"""What a model's file advises those who run it: its own chat template, and how its makers draw tokens."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError

from engine.artifact.artifact import ModelArtifact
from protocol.answers import ModelAdvised
from protocol.sampling import Sampling

_KEYS: Final = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "xtc_probability": "general.sampling.xtc_probability",
    "xtc_threshold": "general.sampling.xtc_threshold",
    "repeat_penalty": "general.sampling.penalty_repeat",
    "repeat_last_n": "general.sampling.penalty_last_n",
}
"""Keys that llama.cpp's converter writes, by the fields of a request's ``sampling``."""


def advise(artifact: ModelArtifact) -> ModelAdvised:
    """The file's advice. Raises InvalidModel: its chat template is no string."""
    given = {field: _read(artifact, key) for field, key in _KEYS.items() if key in artifact.metadata}
    sampling = {field: value for field, value in given.items() if _allowed(field, value)}
    return ModelAdvised(
        name=artifact.name,
        chat_template=artifact.chat_template is not None,
        sampling=sampling,
        ignored=tuple(_KEYS[field] for field in given if field not in sampling),
    )


def _read(artifact: ModelArtifact, key: str) -> Any:
    """The value; of a 32-bit float the shortest number that is stored so."""
    value = artifact.gguf.get(key)
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _allowed(field: str, value: object) -> bool:
    try:
        Sampling.model_validate({field: value})
    except ValidationError:
        return False
    return True
