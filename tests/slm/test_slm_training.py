"""A training: it learns, and one that was killed at any moment goes on to the same curve."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slm.corpus.prepared_data import PreparedData
from slm.errors import SlmError
from tests.slm.small_models import small_configuration, write_small_configuration

torch = pytest.importorskip("torch", reason="make test-slm runs it")

from slm.training.checkpoints import checkpoint_paths, load_checkpoint  # noqa: E402  need PyTorch
from slm.training.trainer import LOG, Trainer  # noqa: E402
from slm.training.training_log import JudgedEntry, LogEntry, StepEntry, read_log  # noqa: E402

STEPS = 30


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def curve(folder: Path) -> list[tuple[int, float]]:
    """Steps with their losses, and judgements with theirs."""
    return [
        (entry.step, entry.loss if isinstance(entry, StepEntry) else entry.bits_per_byte)
        for entry in read_log(folder / LOG)
    ]


def train(folder: Path, data: PreparedData, pause_after_s: float | None = None, **options: object) -> Trainer:
    trainer = Trainer(folder, data, small_configuration(**{"max_steps": STEPS, **options}))
    trainer.run(pause_after_s, lambda _: None)
    return trainer


def test_a_model_learns(trained: Path) -> None:
    entries = read_log(trained / LOG)
    losses = [entry.loss for entry in entries if isinstance(entry, StepEntry)]
    judged = [entry.bits_per_byte for entry in entries if isinstance(entry, JudgedEntry)]
    assert losses[0] == pytest.approx(6.24, abs=0.1)  # ln 512: it knows nothing
    assert sum(losses[-10:]) / 10 < 3.0
    assert judged == sorted(judged, reverse=True)


def test_a_killed_training_goes_on_to_the_same_curve(data: PreparedData, tmp_path: Path) -> None:
    train(tmp_path / "whole", data)
    killed = tmp_path / "killed"
    small = write_small_configuration(tmp_path / "small.toml", max_steps=STEPS)
    arguments = ["train", "--config", small, "--data", data.folder, "-o", killed, "--threads", "1"]
    program = [sys.executable, "-c", "from slm.main import main; main()", *map(str, arguments)]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL) as process:  # noqa: S603  our own
        while process.poll() is None and not _has_steps(killed / LOG, 13):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (latest, *_) = [load_checkpoint(path).step for path in reversed(checkpoint_paths(killed))]
    assert 10 <= latest < STEPS
    train(killed, data)
    assert curve(killed) == curve(tmp_path / "whole")


def _has_steps(log: Path, count: int) -> bool:
    return log.exists() and log.read_bytes().count(b'"kind":"step"') >= count


def test_a_paused_training_goes_on_to_the_same_weights(data: PreparedData, tmp_path: Path) -> None:
    shown: list[LogEntry] = []
    while not (trainer := Trainer(tmp_path / "pieces", data, small_configuration(max_steps=6))).is_over:
        trainer.run(1e-9, shown.append)  # a step at a time
    whole = train(tmp_path / "whole", data, max_steps=6)
    pieces, expected = load_checkpoint(tmp_path / "pieces").weights, whole.model.state_dict()
    assert all(torch.equal(pieces[name], expected[name]) for name in expected)
    assert len([entry for entry in shown if isinstance(entry, StepEntry)]) == 6


def test_memory_saved_by_computing_layers_again_changes_no_bit(data: PreparedData, tmp_path: Path) -> None:
    ways = {"plain": {}, "again": {"gradient_checkpointing": True}}
    for name, options in ways.items():
        train(tmp_path / name, data, **options)
    assert curve(tmp_path / "plain") == curve(tmp_path / "again")


def test_a_folder_goes_on_only_as_it_was_begun(data: PreparedData, tmp_path: Path) -> None:
    train(tmp_path / "run", data)
    with pytest.raises(SlmError, match="another configuration"):
        train(tmp_path / "run", data, learning_rate=1e-4)
    with pytest.raises(SlmError, match="another time budget"):
        Trainer(tmp_path / "run", data, small_configuration(max_steps=STEPS), budget_s=60.0)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(SlmError, match="no file of tensors"):
        load_checkpoint(path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"format": Path("/")}, tmp_path / "model.pt")
    with pytest.raises(SlmError, match="no file of tensors"):
        load_checkpoint(tmp_path / "model.pt")
