"""Checkpoints of a training: written whole or not at all, so that a kill at any moment leaves one to go on from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from slm.configuration import Configuration
from slm.errors import SlmError

_NAME = re.compile(r"checkpoint-(\d{8})\.pt")
_KEPT = 2
_FORMAT = "weos-slm-1"


@dataclass(frozen=True)
class Checkpoint:
    """A model in the middle of its training, or at its end."""

    configuration: Configuration
    """Its ``vocab_size`` is the vocabulary's."""
    step: int
    """Steps that were done."""
    seconds: float
    """Seconds that training took so far."""
    budget_s: float | None
    """Seconds that it may take, where the clock ends it."""
    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, have it on the disk, and remove all but the latest two."""
    path = folder / f"checkpoint-{checkpoint.step:08}.pt"
    begun = path.with_suffix(".begun")
    content = {
        "format": _FORMAT,
        "configuration": checkpoint.configuration.model_dump(),
        "step": checkpoint.step,
        "seconds": checkpoint.seconds,
        "budget_s": checkpoint.budget_s,
        "weights": dict(checkpoint.weights),
        "optimizer": dict(checkpoint.optimizer),
    }
    with begun.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    begun.replace(path)
    _sync_folder(folder)
    for old in checkpoint_paths(folder)[:-_KEPT]:
        old.unlink()
    return path


def checkpoint_paths(folder: Path) -> list[Path]:
    """The checkpoints of a training, from the oldest."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def load_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint, by its path or as the latest in a folder. Nothing in the file is run.

    Raises SlmError: there is none, or the file is something else.
    """
    if path.is_dir():
        found = checkpoint_paths(path)
        if not found:
            raise SlmError(f"{path} has no checkpoint; slm train makes some")
        path = found[-1]
    content = load_tensors(path)
    if content.get("format") != _FORMAT:
        raise SlmError(f"{path} is no checkpoint of slm train")
    try:
        configuration = Configuration.model_validate(content["configuration"])
    except ValidationError as error:
        raise SlmError(f"{path}: {error}") from error
    return Checkpoint(
        configuration=configuration,
        step=content["step"],
        seconds=content["seconds"],
        budget_s=content["budget_s"],
        weights=content["weights"],
        optimizer=content["optimizer"],
    )


def load_tensors(path: Path) -> dict[str, Any]:
    """What a file of PyTorch's holds: tensors, numbers and texts alone. Raises SlmError: it holds anything else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SlmError(f"{path}: no such file") from None
    except Exception as error:
        # Unpickling raises what the file makes it raise.
        raise SlmError(
            f"{path} is no file of tensors: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error
    if not isinstance(content, dict):
        raise SlmError(f"{path} holds no checkpoint")
    return content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
