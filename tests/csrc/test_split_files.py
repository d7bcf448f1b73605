"""Models that are split into several files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine import _core
from tests.support import gguf_bytes as g
from tests.support.kernel_tables import assert_same_bits
from tests.support.split_models import SplitModel


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
