"""Training tokens a second of ``slm train``, beside a plain loop of PyTorch over the same model, in turns.

    build/slm-venv/bin/python -m benchmarks.slm_training [--config NAME] [--steps N] [--turns N] [--threads N]

The plain loop draws windows, computes the loss in one precision, and steps AdamW: no log, no clipping, no checkpoints.
CPU seconds are told beside the clock's, since a busy machine changes these less. Needs ``make test-slm``'s environment.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from slm.configuration import Configuration, load_configuration
from slm.corpus.demonstration import demonstration
from slm.corpus.division import divide
from slm.corpus.prepared_data import PreparedData, prepare
from slm.training.trainer import Trainer
from slm.transformer import Transformer

Rate = tuple[float, float]
"""Tokens for each second of the clock, and for each second of CPU time."""


def trained_by_slm(configuration: Configuration, data: PreparedData, steps: int, folder: Path) -> Rate:
    marks: list[Rate] = []
    trainer = Trainer(folder, data, configuration)
    trainer.run(None, lambda _: marks.append((time.perf_counter(), time.process_time())))
    # The first step allocates what the others use again.
    wall, cpu = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    tokens = (steps - 1) * configuration.training.tokens_per_step
    return tokens / wall, tokens / cpu


def trained_plainly(configuration: Configuration, data: PreparedData, steps: int, precision: str) -> Rate:
    # A plain loop has nothing of what slm train sets for the whole process.
    torch.use_deterministic_algorithms(mode=False)
    torch.set_flush_denormal(False)
    options = configuration.training
    shape = configuration.architecture.model_copy(update={"vocab_size": data.description.vocab_size})
    batch = options.batch_size * options.gradient_accumulation_steps
    model = Transformer(shape).start(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)
    tokens = torch.from_numpy(data.shards[0].astype("int64"))
    began = (0.0, 0.0)
    for step in range(steps):
        if step == 1:
            began = time.perf_counter(), time.process_time()
        begins = torch.randint(0, len(tokens) - options.sequence_length - 1, (batch,)).tolist()
        rows = torch.stack([tokens[begin : begin + options.sequence_length + 1] for begin in begins])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model.loss(rows[:, :-1], rows[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    read = (steps - 1) * batch * options.sequence_length
    return read / wall, read / cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny_10M")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    overrides = {"max_steps": options.steps, "warmup_steps": 1, "eval_every": 10**6, "checkpoint_every": 10**6}
    configuration = load_configuration(options.config, **overrides)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(divide(demonstration(0, 3000), None, 0.02, 0), folder / "data", "demonstration", 0, 8192)
        data = PreparedData(folder / "data")
        ways: dict[str, Callable[[int], Rate]] = {
            "slm train, bf16": lambda turn: trained_by_slm(configuration, data, options.steps, folder / f"run{turn}"),
            "plain loop, bf16": lambda _: trained_plainly(configuration, data, options.steps, "bf16"),
            "plain loop, f32": lambda _: trained_plainly(configuration, data, options.steps, "f32"),
        }
        rates: dict[str, list[Rate]] = {way: [] for way in ways}
        for turn in range(options.turns):
            for way, measure in ways.items():
                rates[way].append(measure(turn))
    first, *_ = rates.values()
    for way, found in rates.items():
        wall, cpu = (statistics.median(one[place] for one in found) for place in (0, 1))
        by = statistics.median(ours[0] / one[0] for ours, one in zip(first, found, strict=True))
        print(f"{way:18} {wall:8,.0f} tokens/s, {cpu:8,.0f} for each CPU second; slm train is {by:.2f} times as fast")


if __name__ == "__main__":
    main()
