"""The training: steps of AdamW from a checkpoint on. The same data, seed and number of threads give the same curve."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from slm.configuration import Configuration
from slm.corpus.prepared_data import VOCABULARY, PreparedData
from slm.errors import SlmError
from slm.evaluation.text_cost import TextCost, text_cost
from slm.training.batches import Batches
from slm.training.checkpoints import Checkpoint, checkpoint_paths, load_checkpoint, save_checkpoint
from slm.training.schedule import Schedule
from slm.training.training_log import JudgedEntry, LogEntry, StepEntry, TrainingLog
from slm.transformer import Transformer

LOG = "training.jsonl"
_BETAS = (0.9, 0.95)
_LARGEST_NORM = 1.0
_JUDGED_WINDOWS = 32


class Trainer:
    """A training in a folder, which is a new one or has a checkpoint to go on from."""

    def __init__(
        self, folder: Path, data: PreparedData, configuration: Configuration, budget_s: float | None = None
    ) -> None:
        """``budget_s``: seconds, of which the learning rate follows the clock and the training ends with them.

        Raises SlmError: the data is too short, or what is in the folder was begun otherwise.
        """
        architecture = configuration.architecture.model_copy(update={"vocab_size": data.description.vocab_size})
        self.configuration = configuration.model_copy(update={"architecture": architecture})
        self._options = options = configuration.training
        self._folder = folder
        self._data = data
        self._batches = Batches(data.shards, options.batch_size, options.sequence_length, options.seed)
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # nothing reads it; a hundredth of the time
        torch.set_flush_denormal(True)
        self.model = Transformer(architecture, checkpointed=options.gradient_checkpointing)
        self._optimizer = _make_optimizer(self.model, options.learning_rate, options.weight_decay)
        self.step = 0
        self.seconds = 0.0
        self._budget_s = budget_s
        self._begin()
        self.schedule = Schedule(options.learning_rate, options.warmup_steps, options.max_steps, self._budget_s)

    def _begin(self) -> None:
        """Draw the weights, or take those of the latest checkpoint."""
        if not checkpoint_paths(self._folder):
            self.model.start(self._options.seed)
            return
        latest = load_checkpoint(self._folder)
        if latest.configuration != self.configuration:
            raise SlmError(f"{self._folder} was begun with another configuration or other data; take another folder")
        if self._budget_s not in {None, latest.budget_s}:
            raise SlmError(f"{self._folder} was begun with another time budget; it goes on with that one by itself")
        self.model.load_state_dict(latest.weights)
        self._optimizer.load_state_dict(latest.optimizer)
        self.step, self.seconds, self._budget_s = latest.step, latest.seconds, latest.budget_s

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to train."""
        return self.schedule.is_over(self.step, self.seconds)

    def run(self, pause_after_s: float | None, show: Callable[[LogEntry], None]) -> TextCost:
        """Train to the end, or a checkpoint after ``pause_after_s`` seconds; ``show`` gets each entry of the log.

        What the held-out text costs then; a part of it, where there is more to train.
        Raises SlmError: the loss became infinite or NaN.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._data.vocabulary.save(self._folder / VOCABULARY)
        began, before = time.monotonic(), self.seconds
        with TrainingLog(self._folder / LOG, self.step) as log:
            while not self.is_over and (pause_after_s is None or self.seconds - before < pause_after_s):
                for entry in self._advance():
                    log.add(entry)
                    show(entry)
                self.seconds = before + time.monotonic() - began
                if self.step % self._options.checkpoint_every == 0:
                    log.sync()
                    self._save()
            log.sync()
            self._save()
        return self._judge(None if self.is_over else _JUDGED_WINDOWS)

    def _advance(self) -> Iterator[LogEntry]:
        """A step, and a judgement where one is due."""
        yield self._take_step(self.schedule.rate(self.step, self.seconds))
        if self.step % self._options.eval_every == 0:
            yield JudgedEntry(step=self.step, bits_per_byte=self._judge(_JUDGED_WINDOWS).bits_per_byte)

    def _take_step(self, rate: float) -> StepEntry:
        began = time.monotonic()
        loss = sum(self._pass(self.step, part) for part in range(self._options.gradient_accumulation_steps))
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST_NORM))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise SlmError(f"the loss is {loss} at step {self.step}: lower learning_rate")
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        seconds = time.monotonic() - began
        return StepEntry(step=self.step, loss=loss, learning_rate=rate, gradient_norm=norm, seconds=seconds)

    def _pass(self, step: int, part: int) -> float:
        """Add a part's gradients; its share of the step's loss."""
        tokens = torch.from_numpy(self._batches.at(step, part))
        with torch.autocast("cpu", torch.bfloat16, enabled=self._options.precision == "bf16"):
            loss = self.model.loss(tokens[:, :-1], tokens[:, 1:]) / self._options.gradient_accumulation_steps
        loss.backward()
        return float(loss.detach())

    def _judge(self, windows: int | None) -> TextCost:
        return text_cost(self.model, self._data.vocabulary, self._data.held_out, windows)

    def _save(self) -> None:
        state = Checkpoint(
            configuration=self.configuration,
            step=self.step,
            seconds=self.seconds,
            budget_s=self._budget_s,
            weights=self.model.state_dict(),
            optimizer=self._optimizer.state_dict(),
        )
        save_checkpoint(self._folder, state)


def _make_optimizer(model: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    """AdamW; norms do not decay."""
    matrices = [one for one in model.parameters() if one.dim() == 2]
    norms = [one for one in model.parameters() if one.dim() != 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=_BETAS, fused=True)
