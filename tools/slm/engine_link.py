"""The engine, met as any client meets it: the one on the socket, or one of our own where none runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine_ctl.connection import connect_or_embed
from engine_ctl.progress_bar import ProgressBar
from protocol.evaluation import EvaluationRequest
from protocol.operation_answers import Evaluated, Quantized
from protocol.requests import Evaluate, Quantize


@dataclass(frozen=True)
class EngineLink:
    """Where the engine is; ``None``: at its usual place. Every method raises what the engine answers with."""

    socket: Path | None = None

    def quantize(self, model: Path, recipe: str, output: Path, importance: Path | None) -> Quantized:
        """Write a model in a recipe's types."""
        request = Quantize(
            model=str(model.absolute()),
            recipe=recipe,
            output=str(output.absolute()),
            importance=None if importance is None else str(importance.absolute()),
        )
        with connect_or_embed(self.socket) as client, ProgressBar(quiet=False) as bar:
            return bar.ask(client, request)

    def evaluate(self, model: Path, text: str, window: int) -> Evaluated:
        """How well the engine predicts a text with a model, window by window."""
        request = EvaluationRequest(model=str(model.absolute()), text=text, window=window)
        with connect_or_embed(self.socket) as client, ProgressBar(quiet=False) as bar:
            return bar.ask(client, Evaluate(request=request))
