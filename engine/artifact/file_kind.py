"""GGUF files that are no model this engine can run, named as what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from engine import _core
from engine.text.metadata import Metadata
from protocol.errors import UnsupportedModel

_TYPES: Final[Mapping[int, str]] = {
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 31: "Q4_0_4_4",
    32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 40: "NVFP4", 41: "Q1_0",
}  # fmt: skip
"""The format's names of types that this engine lacks, by their numbers."""
_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "mmproj": ("a projector", "it lets a model see or hear, which this engine does not; name the model's own file"),
    "adapter": ("an adapter", "merge it into its model first, such as with llama-export-lora, and name the result"),
    "imatrix": ("an importance matrix", "give it to `engine-ctl quantize --importance`; name a model"),
    "dataset": ("a dataset", "name a model"),
}
"""What a ``general.type`` stands for, and what to do."""
_NAMED: Final = 3


def type_name(type_id: int) -> str:
    """The format's name of a tensor type that this engine lacks; its number where it is new."""
    return _TYPES.get(type_id, f"type {type_id}")


def require_model(name: str, metadata: Metadata) -> None:
    """Raises UnsupportedModel: the file is another thing than a model."""
    kind = metadata.string_or_none("general.type") or "model"
    if metadata.string_or_none("general.architecture") == "clip":  # projectors from before files told their kind
        kind = "mmproj"
    if kind not in _KINDS:
        return
    noun, remedy = _KINDS[kind]
    if kind == "adapter":
        noun = {"lora": "a LoRA adapter"}.get(metadata.string_or_none("adapter.type") or "", noun)
    raise UnsupportedModel(f"{name} is {noun} and no model: {remedy}", model=name, kind=kind)


def require_types(name: str, gguf: _core.GgufFile) -> None:
    """Raises UnsupportedModel: some weights are in types that this engine lacks."""
    foreign = gguf.foreign_tensors()
    if not foreign:
        return
    counted = Counter(type_name(type_id) for _, type_id, _ in foreign)
    listed = ", ".join(f"{kind} ({count} tensors)" for kind, count in counted.most_common(_NAMED))
    raise UnsupportedModel(
        f"{name} has weights in {listed}, such as {foreign[0][0]!r}, which this engine does not compute with: choose a "
        "file of the model in another quantization, such as Q4_K_M, IQ4_XS or Q2_K",
        model=name,
        tensor=foreign[0][0],
        types=sorted(counted),
    )
