"""Configurations: the shipped ones are what their names say, and what cannot be is refused in the user's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from slm.configuration import SHIPPED, load_configuration
from slm.errors import SlmError
from tests.slm.small_models import write_small_configuration


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_as_large_as_its_name_says(name: str) -> None:
    architecture = load_configuration(name).architecture
    promised = int(name.partition("_")[2].removesuffix("M")) * 10**6
    assert abs(architecture.parameters / promised - 1) < 0.05
    # Rows of 256 elements, so that int4 is Q4_K throughout.
    assert architecture.hidden_size % 256 == 0
    assert architecture.intermediate_size % 256 == 0


def test_an_option_overrides_the_file(tmp_path: Path) -> None:
    path = write_small_configuration(tmp_path / "small.toml")
    found = load_configuration(str(path), batch_size=3, learning_rate=None)
    assert (found.training.batch_size, found.training.learning_rate) == (3, 3e-3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("hidden_size = 130", "hidden_size must be num_attention_heads times an even number"),
        ("hidden_size = 80", "multiples of 32"),
        ("num_key_value_heads = 3", "multiple of num_key_value_heads"),
        ("vocab_size = 70000", "architecture.vocab_size"),
        ("dropout = 0.1", "architecture.dropout"),
        ("max_position_embeddings = 32", "over architecture.max_position_embeddings"),
    ],
)
def test_what_cannot_be_a_model_is_refused(tmp_path: Path, changed: str, said: str) -> None:
    path = write_small_configuration(tmp_path / "small.toml")
    key = changed.partition(" ")[0]
    kept = [line for line in path.read_text().splitlines() if not line.startswith(f"{key} ")]
    kept.insert(kept.index("[architecture]") + 1, changed)
    path.write_text("\n".join(kept))
    with pytest.raises(SlmError, match=said):
        load_configuration(str(path))


@pytest.mark.parametrize(("name", "said"), [("tiny", "there are tiny_10M"), ("a.yaml", "TOML")])
def test_a_configuration_that_is_not_there_is_told_with_those_that_are(name: str, said: str) -> None:
    with pytest.raises(SlmError, match=said):
        load_configuration(name)
