"""``slm train``: shards to checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from slm.configuration import load_configuration
from slm.errors import SlmError

if TYPE_CHECKING:
    from slm.training.trainer import Trainer

_AT_LEAST_1 = click.IntRange(min=1)
_MINUTES = click.FloatRange(min=0, min_open=True)


@click.command(name="train")
@click.option("--config", "name", default="tiny_10M", show_default=True, help="A configuration's name, or a TOML file.")
@click.option("--data", "data_folder", required=True, type=click.Path(path_type=Path), help="Of slm prepare-data.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the training.")
@click.option("--resume", is_flag=True, help="Go on from the latest checkpoint in the folder.")
@click.option("--time-budget", type=_MINUTES, metavar="MINUTES", help="End by the clock, the learning rate with it.")
@click.option("--pause-after", type=_MINUTES, metavar="MINUTES", help="End then with a checkpoint, for --resume.")
@click.option("--max-steps", type=_AT_LEAST_1, help="In place of the configuration's.")
@click.option("--batch-size", type=_AT_LEAST_1, help="In place of the configuration's.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="In place of the configuration's.")
@click.option("--precision", type=click.Choice(["f32", "bf16"]), help="Of matrix products.")
@click.option("--seed", type=click.IntRange(min=0), help="In place of the configuration's.")
@click.option("--threads", type=_AT_LEAST_1, help="Of PyTorch.  [default: every CPU]")
def command(
    *,
    name: str,
    data_folder: Path,
    output: Path,
    resume: bool,
    time_budget: float | None,
    pause_after: float | None,
    threads: int | None,
    **overrides: object,
) -> None:
    """Train a model. The folder gets checkpoints, training.jsonl, loss.png and TensorBoard's events.

    Ended at any moment, even by SIGKILL, it goes on with --resume from the latest checkpoint to the same curve.
    """
    configuration = load_configuration(name, **overrides)
    import torch

    from slm.corpus.prepared_data import PreparedData
    from slm.training.trainer import Trainer

    if threads is not None:
        torch.set_num_threads(threads)
    if output.exists() and any(output.iterdir()) and not resume:
        raise SlmError(f"{output} holds something already: --resume goes on with it")
    budget_s, pause_s = (None if minutes is None else 60 * minutes for minutes in (time_budget, pause_after))
    _train(Trainer(output, PreparedData(data_folder), configuration, budget_s), output, pause_s)


def _train(trainer: Trainer, output: Path, pause_after_s: float | None) -> None:
    from slm.training.loss_curve import draw_loss_curve
    from slm.training.trainer import LOG
    from slm.training.training_log import read_log
    from slm.training.views import TrainingViews

    begun_at, configuration = trainer.step, trainer.configuration
    click.echo(f"{configuration.name}: {configuration.architecture.parameters:,} parameters", err=True)
    with TrainingViews(output, trainer) as views:
        cost = trainer.run(pause_after_s, views.show)
    draw_loss_curve(read_log(output / LOG), output / "loss.png")
    tokens = trainer.step * configuration.training.tokens_per_step
    ended = "trained" if trainer.is_over else "paused (slm train --resume goes on)"
    click.echo(f"{output}: {ended} at step {trainer.step:,}, {trainer.step - begun_at:,} of them now")
    click.echo(f"{tokens:,} tokens in {trainer.seconds:,.0f} s, {tokens / max(trainer.seconds, 1e-9):,.0f} a second")
    judged = "the held-out text" if trainer.is_over else "the held-out text's beginning"
    click.echo(f"{cost.bits_per_byte:.4f} bits per byte of {judged}, perplexity {cost.perplexity:.3f}")
