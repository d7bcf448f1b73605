"""What a model can be asked for: to go on with a text, to judge texts, or to make vectors of them, which any can."""

from __future__ import annotations

from typing import Final

from engine import _core
from engine.artifact.artifact import ModelArtifact
from protocol.errors import UnsupportedModel

_CLASSIFIER: Final = "cls.output.weight"


def reads_whole_texts(artifact: ModelArtifact) -> bool:
    """Whether every position attends to those behind it too. Raises InvalidModel, UnsupportedModel."""
    return not artifact.of_shape(_core.is_causal)


def require_decoder(artifact: ModelArtifact) -> None:
    """Raises UnsupportedModel: the model reads texts and writes none."""
    artifact.require_runnable()
    if reads_whole_texts(artifact):
        raise UnsupportedModel(
            f"{artifact.name} reads texts and writes none: it can Embed{' and Rerank' if _judges(artifact) else ''}",
            model=artifact.name,
            architecture=artifact.architecture,
        )


def require_reranker(artifact: ModelArtifact) -> None:
    """Raises UnsupportedModel: the model has nothing that judges pairs of texts."""
    artifact.require_runnable()
    if not _judges(artifact):
        raise UnsupportedModel(
            f"{artifact.name} cannot rank documents: it has no classifier (a tensor {_CLASSIFIER})",
            model=artifact.name,
            architecture=artifact.architecture,
        )


def _judges(artifact: ModelArtifact) -> bool:
    return any(tensor.name == _CLASSIFIER for tensor in artifact.tensors)
