"""The answers to requests that keep the machine busy for long."""

from __future__ import annotations

from typing import Literal

from protocol.calibration import EnergyCalibration
from protocol.embedding import EmbeddedText, Pooling, PoolingFrom
from protocol.evaluation import TextQuality
from protocol.message import Answer
from protocol.metrics import EnergyReport
from protocol.plan import ExecutionPlan
from protocol.reranking import RankedDocument


class Quantized(Answer):
    """The file written."""

    type: Literal["Quantized"] = "Quantized"
    path: str
    size_bytes: int
    tensor_types: dict[str, int]
    """How many tensors have each type."""


class Evaluated(Answer):
    """How well a model predicts a text."""

    type: Literal["Evaluated"] = "Evaluated"
    plan: ExecutionPlan
    """What was evaluated, decided as for a run; its batch is the window's."""
    against: ExecutionPlan | None
    tokens: int
    """Tokens of the whole text."""
    window: int
    windows: int
    """How many were read; tokens beyond the last whole one are left out."""
    duration_s: float
    """Duration of the evaluation alone, from the moment its weights were ready."""
    quality: TextQuality


class Embedded(Answer):
    """The vectors of texts."""

    type: Literal["Embedded"] = "Embedded"
    plan: ExecutionPlan
    """What was embedded with, decided as for a run. Its batch: the longest text, texts and tokens read together."""
    kernel_path: str
    """The instruction set of the kernels that really ran."""
    pooling: Pooling
    pooling_from: PoolingFrom
    normalized: bool
    dimension: int
    texts: tuple[EmbeddedText, ...]
    """In the request's order."""
    digest: str
    """``sha256:`` and 64 hexadecimal digits, of the bytes of all vectors in order."""
    duration_s: float
    """Duration of the embedding alone, from the moment its weights were ready."""
    energy: EnergyReport
    """Energy used in the same time."""


class Reranked(Answer):
    """Documents in the order of their scores."""

    type: Literal["Reranked"] = "Reranked"
    plan: ExecutionPlan
    """What they were judged with, decided as for a run. Its batch: the longest pair, pairs and tokens read together."""
    kernel_path: str
    """The instruction set of the kernels that really ran."""
    results: tuple[RankedDocument, ...]
    """The best first; of equals the one named first."""
    tokens: int
    """Tokens of all pairs."""
    duration_s: float
    """Duration of the reading alone, from the moment the weights were ready."""
    energy: EnergyReport
    """Energy used in the same time."""


class Calibrated(Answer):
    """The calibration measured."""

    type: Literal["Calibrated"] = "Calibrated"
    calibration: EnergyCalibration
    path: str
    """Where the engine keeps it."""
