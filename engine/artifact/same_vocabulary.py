"""Whether two models have the same vocabulary, so that one may guess the other's tokens."""

from __future__ import annotations

from engine.artifact.artifact import ModelArtifact
from protocol.errors import InvalidPlan


def require_same_vocabulary(model: ModelArtifact, draft: ModelArtifact) -> None:
    """Raises InvalidPlan, which names what differs; InvalidModel, UnsupportedModel: one has no vocabulary."""
    own, other = model.vocabulary_parts, draft.vocabulary_parts
    differing = [part for part, digest in own.items() if other[part] != digest]
    if not differing:
        return
    raise InvalidPlan(
        f"{draft.name} cannot guess for {model.name}: their vocabularies differ in {' and '.join(differing)}; a draft "
        "model needs the same tokens under the same ids, as smaller models of the same family have",
        field="execution.speculation.model",
        value=draft.name,
        differing=differing,
    )
