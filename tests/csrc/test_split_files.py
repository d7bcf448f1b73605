"""Models that are split into several files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine import _core
from tests.csrc import gguf_bytes as g
from tests.csrc.kernel_tables import assert_same_bits


@dataclass(frozen=True)
class SplitModel:
    """The least model in three parts; what is None is as it should be."""

    number: int | None = None
    """What the second part says of itself."""
    count: int | None = None
    total: int | None = None
    doubled: bool = False
    """The second part has a tensor of the first."""

    def write(self, folder: Path, name: str = "model") -> Path:
        """The first part's path."""
        least = g.ModelBytes()
        tensors = list(least.tensors.values())
        parts: list[Sequence[g.Tensor]] = [tensors[:4], tensors[4:8], tensors[8:]]
        if self.doubled:
            parts[1] = [*parts[1], tensors[0]]
        for index, part in enumerate(parts):
            of_second = index == 1
            number = self.number if of_second and self.number is not None else index
            count = self.count if of_second and self.count is not None else len(parts)
            keys = {"split.no": g.scalar(g.U16, number), "split.count": g.scalar(g.U16, count)}
            keys["split.tensors.count"] = g.scalar(g.I32, len(tensors) if self.total is None else self.total)
            own = {**least.metadata, **keys} if index == 0 else keys
            g.GgufBytes(tuple(own.items()), part).write(folder / f"{name}-{index + 1:05}-of-{len(parts):05}.gguf")
        return folder / f"{name}-00001-of-{len(parts):05}.gguf"


def test_parts_are_one_model(tmp_path: Path) -> None:
    whole, split = g.ModelBytes().write(tmp_path / "whole.gguf"), SplitModel().write(tmp_path)
    prompt = [0, 1, 2, 3]
    expected = _core.Model.load(str(whole), "reference", 1).logits([prompt])[0]
    assert_same_bits(_core.Model.load(str(split), "reference", 1).logits([prompt])[0], expected)
    file = _core.GgufFile(str(split))
    assert [t.name for t in file.tensors()] == [t.name for t in _core.GgufFile(str(whole)).tensors()]
    assert file.size_bytes == sum(part.stat().st_size for part in tmp_path.glob("model-*.gguf"))


def test_a_later_part_is_told_to_name_the_first(tmp_path: Path) -> None:
    SplitModel().write(tmp_path)
    with pytest.raises(_core.GgufError, match="part 2 of 3 of a model; name the first"):
        _core.GgufFile(str(tmp_path / "model-00002-of-00003.gguf"))


def test_a_part_that_is_missing(tmp_path: Path) -> None:
    split = SplitModel().write(tmp_path)
    (tmp_path / "model-00003-of-00003.gguf").unlink()
    with pytest.raises(OSError, match="model-00003-of-00003"):
        _core.GgufFile(str(split))


def test_a_first_part_of_another_name(tmp_path: Path) -> None:
    split = SplitModel().write(tmp_path)
    with pytest.raises(_core.GgufError, match=r"first of 3 parts, whose name must end in '-00001-of-00003\.gguf'"):
        _core.GgufFile(str(split.rename(tmp_path / "model.gguf")))


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (SplitModel(number=2), "is part 3 of 3 where part 2 of 3 belongs"),
        (SplitModel(count=4), "is part 2 of 4 where part 2 of 3 belongs"),
        (SplitModel(total=12), "have 11 tensors together, not 12"),
        (replace(SplitModel(total=12), doubled=True), "'token_embd.weight' is in several parts"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_each_other(tmp_path: Path, model: SplitModel, match: str) -> None:
    split = model.write(tmp_path)
    with pytest.raises(_core.GgufError, match=match):
        _core.GgufFile(str(split))


def test_a_damaged_part_is_refused(tmp_path: Path) -> None:
    split = SplitModel().write(tmp_path)
    last = tmp_path / "model-00003-of-00003.gguf"
    last.write_bytes(last.read_bytes()[:-40])
    with pytest.raises(_core.GgufError, match="beyond the end"):
        _core.GgufFile(str(split))
