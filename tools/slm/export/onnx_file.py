"""A model as ONNX, compared with PyTorch before it is handed out."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from slm.errors import SlmError
from slm.export.trained_model import TrainedModel

_OPSET = 18
_TRIED = ((1, 7), (2, 16))
"""Batches and positions that are compared."""
_MOST_DIFFERENCE = 1e-3
"""Largest difference of logits, in their standard deviations."""


def write_onnx(model: TrainedModel, path: Path) -> float:
    """Write ``tokens`` [batch, positions] to ``logits`` [batch, positions, vocab_size]; both sizes are free.

    The largest difference between ONNX Runtime's logits and PyTorch's, in standard deviations of these.
    Raises SlmError: something is there already; they differ too much.
    """
    if path.exists():
        raise SlmError(f"{path} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_name(f".{path.name}.begun")
    try:
        _export(model, begun)
        difference = _difference(model, begun)
        if difference > _MOST_DIFFERENCE:
            raise SlmError(f"ONNX Runtime's logits differ from PyTorch's by {difference:.2g} standard deviations")
        begun.rename(path)
    finally:
        begun.unlink(missing_ok=True)
    return difference


def _export(model: TrainedModel, path: Path) -> None:
    free = {0: "batch", 1: "positions"}
    with warnings.catch_warnings():
        # The exporter by tracing needs no further package, and says that another one is newer.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.transformer,
            (torch.zeros(2, 8, dtype=torch.int64),),
            str(path),
            input_names=["tokens"],
            output_names=["logits"],
            dynamic_axes={"tokens": free, "logits": free},
            opset_version=_OPSET,
            dynamo=False,
        )


def _difference(model: TrainedModel, path: Path) -> float:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    worst = 0.0
    for shape in _TRIED:
        tokens = random.integers(0, model.architecture.vocab_size, shape)
        (found,) = session.run(["logits"], {"tokens": tokens})
        with torch.inference_mode():
            expected = model.transformer(torch.from_numpy(tokens)).numpy()
        worst = max(worst, float(np.abs(found - expected).max() / expected.std()))
    return worst
