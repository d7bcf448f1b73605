"""A model to export: of a training, or of AUTON's own, with its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slm.configuration import Architecture
from slm.corpus.prepared_data import VOCABULARY
from slm.corpus.vocabulary import Vocabulary
from slm.errors import SlmError
from slm.export.auton_checkpoint import is_auton_checkpoint, read_auton_checkpoint
from slm.training.checkpoints import load_checkpoint, load_tensors
from slm.transformer import Transformer


@dataclass(frozen=True)
class TrainedModel:
    """Weights in PyTorch, ready to be read."""

    name: str
    transformer: Transformer
    vocabulary: Vocabulary

    @property
    def architecture(self) -> Architecture:
        """Its shape."""
        return self.transformer.architecture


def open_model(path: Path, tokenizer: Path | None = None) -> TrainedModel:
    """The latest checkpoint in a folder, or the one of a file. ``tokenizer``: a tokenizer.json; the one beside it.

    Raises SlmError: there is none; it has no tokenizer, or one that does not fit it.
    """
    if path.is_file() and is_auton_checkpoint(content := load_tensors(path)):
        if tokenizer is None:
            raise SlmError(f"{path} is AUTON's and has no tokenizer of byte pairs: give one with --tokenizer")
        transformer, name = read_auton_checkpoint(content), path.stem
    else:
        checkpoint = load_checkpoint(path)
        transformer, name = Transformer(checkpoint.configuration.architecture), checkpoint.configuration.name
        transformer.load_state_dict(checkpoint.weights)
    folder = path if path.is_dir() else path.parent
    vocabulary = Vocabulary.load(tokenizer or folder / VOCABULARY)
    if len(vocabulary.tokens) > transformer.architecture.vocab_size:
        raise SlmError(
            f"the tokenizer has {len(vocabulary.tokens)} tokens, and the model {transformer.architecture.vocab_size}"
        )
    return TrainedModel(name, transformer.eval(), vocabulary)
