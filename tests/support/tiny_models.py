"""Tiny models made once, loaded for any kernel table."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from engine import _core
from tests.support.gguf_factory import has_super_blocks, write_tiny_model

_directory = tempfile.TemporaryDirectory(prefix="tiny-models-")


@functools.cache
def tiny_path(architecture: str = "llama", tensor_type: str = "Q4_1", **options: object) -> Path:
    """Super-blocks need rows of 256; ``options`` are those of ``TinyModel``."""
    name = "-".join([architecture, tensor_type, *(f"{key}={value}" for key, value in options.items())])
    wide = {"n_embd": 256, "n_ff": 256} if has_super_blocks(tensor_type) else {}
    path = Path(_directory.name) / f"{name}.gguf"
    return write_tiny_model(path, architecture=architecture, tensor_type=tensor_type, **{**wide, **options})


@functools.cache
def tiny_model(
    architecture: str = "llama", tensor_type: str = "Q4_1", table: str = "reference", **options: object
) -> _core.Model:
    return _core.Model.load(str(tiny_path(architecture, tensor_type, **options)), table, 1)


@functools.cache
def tiny_vocabulary() -> _core.Vocabulary:
    return _core.Vocabulary(_core.GgufFile(str(tiny_path())))


def tiny_prompt(length: int, seed: int = 0) -> list[int]:
    """Random tokens of the tiny vocabulary."""
    return list(map(int, np.random.default_rng(seed).integers(0, len(tiny_vocabulary()), length)))


def slow_model() -> _core.Model:
    """Sixteen layers in scalar code: a chunk of 2000 tokens takes seconds, one layer of it a fraction."""
    return tiny_model(n_layer=16, context_length=4096)
