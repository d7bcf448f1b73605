"""The golden data of one real model, read back; and how far a set of logits is from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class GoldenPrompt:
    """One prompt, the path llama.cpp took from it greedily, and the exact logits along that path."""

    name: str
    text: str
    token_ids: list[int]
    greedy_token_ids: list[int]
    ended_at: int | None
    """The first step that chose an end-of-generation token; the path goes on beyond it."""
    top_ids: Ids  # [steps, 2], llama.cpp's best first
    top_logits: Floats  # [steps, 2], llama.cpp's
    exact_top_logits: Floats  # [steps, 2], of the same ids
    exact_best_ids: Ids  # [steps]
    exact_sample: Floats  # [sampled steps, sampled ids]
    peer_distance: Floats  # [steps], mean absolute over the whole vocabulary
    peer_sample_distance: Floats  # [sampled steps], mean absolute over the sampled ids

    @property
    def forced_ids(self) -> list[int]:
        """What to feed so that the last ``steps`` positions are those of the path."""
        return self.token_ids + self.greedy_token_ids[:-1]

    @property
    def margins(self) -> Floats:
        """Between llama.cpp's two top logits, a step."""
        return np.asarray(self.top_logits[:, 0] - self.top_logits[:, 1])


@dataclass(frozen=True)
class Golden:
    model: str
    model_sha256: str
    peer: str
    sampled_steps: list[int]
    sample_ids: Ids
    prompts: list[GoldenPrompt]


def read_golden(name: str) -> Golden:
    """``smollm2``, ``qwen2``, ``gemma3`` or ``stories``."""
    head: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(FOLDER / f"{name}.npz") as arrays:
        shared = {key: arrays[key] for key in arrays.files}
    sample_ids = shared.pop("sample_ids")
    kept = {key: shared[key] for key in GoldenPrompt.__dataclass_fields__ if key in shared}
    prompts = [
        GoldenPrompt(**prompt, **{key: values[index] for key, values in kept.items()})
        for index, prompt in enumerate(head["prompts"])
    ]
    return Golden(head["model"], head["model_sha256"], head["peer"], head["sampled_steps"], sample_ids, prompts)


@dataclass(frozen=True)
class Parting:
    """A step at which the engine, on llama.cpp's path, would choose another token."""

    step: int
    token_id: int
    margin: float
    """Between llama.cpp's two top logits."""
    allowance: float
    """The two engines' summed distances from exact arithmetic on those two logits."""
    exact: bool
    """The token is the one that exact arithmetic chooses: it is llama.cpp that parts."""

    @property
    def excused(self) -> bool:
        return self.margin <= self.allowance


@dataclass(frozen=True)
class Comparison:
    """An engine's logits along one golden path, against llama.cpp's and the exact ones."""

    prompt: GoldenPrompt
    partings: list[Parting]
    distance: float
    """Mean absolute distance from exact, over the sampled steps and ids."""
    top_distance: float
    """Mean absolute distance from exact, over llama.cpp's two top logits at every step."""
    best_kept: int
    """Number of steps at which the engine's best token is that of exact arithmetic."""

    @property
    def equal_tokens(self) -> int:
        """How many tokens the two greedy answers share before they part."""
        return self.partings[0].step if self.partings else len(self.prompt.greedy_token_ids)

    @property
    def peer_distance(self) -> float:
        return float(self.prompt.peer_sample_distance.mean())

    @property
    def peer_top_distance(self) -> float:
        return float(np.abs(self.prompt.top_logits - self.prompt.exact_top_logits).mean())

    @property
    def peer_best_kept(self) -> int:
        return int((self.prompt.top_ids[:, 0] == self.prompt.exact_best_ids).sum())


def compare(golden: Golden, prompt: GoldenPrompt, logits: Floats) -> Comparison:
    """``logits``: the engine's at the path's positions, ``[steps, vocabulary]``. The lowest id wins a tie."""
    chosen = logits.argmax(-1)
    sampled = logits[golden.sampled_steps]
    tops = np.abs(np.take_along_axis(logits, prompt.top_ids.astype(np.int64), -1) - prompt.exact_top_logits)
    allowances = tops.sum(-1) + np.abs(prompt.top_logits - prompt.exact_top_logits).sum(-1)
    partings = [
        Parting(
            step=int(step),
            token_id=int(chosen[step]),
            margin=float(prompt.margins[step]),
            allowance=float(allowances[step]),
            exact=bool(chosen[step] == prompt.exact_best_ids[step]),
        )
        for step in np.flatnonzero(chosen != np.asarray(prompt.greedy_token_ids))
    ]
    return Comparison(
        prompt=prompt,
        partings=partings,
        distance=float(np.abs(sampled[:, golden.sample_ids] - prompt.exact_sample).mean()),
        top_distance=float(tops.mean()),
        best_kept=int((chosen == prompt.exact_best_ids).sum()),
    )


def mean_distances(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """(the engine's, llama.cpp's) distance from exact over all prompts, each prompt weighing the same."""
    return (
        float(np.mean([comparison.distance for comparison in comparisons])),
        float(np.mean([comparison.peer_distance for comparison in comparisons])),
    )
