"""Well-formed models made wrong where it matters: in a weight, a key, a shape, a type or an offset."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
from gguf import quants

from tests.support.architecture_models import CASES, DEEP_CASES, WIDE_CASES, write_architecture_model
from tests.support.blocks import LAYOUTS, TENSOR_TYPES, put_halves
from tests.support.damaged_models import encoded
from tests.support.gguf_bytes import ARRAY, F32, F64, STRING, GgufBytes, Tensor, Value

_MOST_CHANGES = 3
_FLOATS = (float("nan"), float("inf"), float("-inf"), 3.4e38, -3.4e38, 1e30, 1e20, 65504.0, 1e-3, 0.0, -0.0, 1e-45)
_FACTORS = (1e38, -1e30, 1e19, 1e6, 1e-30, 0.0)
_INTEGERS = (0, 1, 2, 3, 7, 16, 31, 32, 64, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)


def model_seeds(folder: Path) -> dict[str, GgufBytes]:
    """One of every architecture, and one of every type of tensor, by name: of two layers, or of as many as show all.
    Models known by their many layers are left out: with two they would be refused."""
    cases = {
        name: {"n_layer": 2, **case} if "convolution_layers" in case else {**case, "n_layer": 2}
        for name, case in CASES.items()
        if name not in DEEP_CASES
    }
    for type_name in TENSOR_TYPES:
        cases[f"llama {type_name}"] = {**WIDE_CASES["llama_wide"], "n_layer": 1, "tensor_type": type_name}
    path = folder / "seed.gguf"
    return {name: _read(write_architecture_model(path, **case)) for name, case in cases.items()}


def _read(path: Path) -> GgufBytes:
    reader = gguf.GGUFReader(path)
    pairs = [
        (name, Value(int(field.types[0]), b"".join(part.tobytes() for part in field.parts[3:])))
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    ]
    tensors = [
        Tensor(tensor.name, tuple(map(int, tensor.shape)), int(tensor.tensor_type), tensor.data.tobytes())
        for tensor in reader.tensors
    ]
    return GgufBytes(pairs, tensors)


def has_non_finite_weights(model: GgufBytes) -> bool:
    """Read with the format's own reference; a tensor beyond the data or of an unknown type is skipped."""
    data = b"".join(tensor.data + bytes(-len(tensor.data) % model.alignment) for tensor in model.tensors)
    begin = 0
    for tensor in model.tensors:
        offset = begin if tensor.offset is None else tensor.offset
        begin += len(tensor.data) + -len(tensor.data) % model.alignment
        values = _dequantized(tensor, data[offset:])
        if values is not None and not np.isfinite(values).all():
            return True
    return False


def _dequantized(tensor: Tensor, data: bytes) -> np.ndarray | None:
    try:
        kind = gguf.GGMLQuantizationType(tensor.type_id)
    except ValueError:
        return None
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    count = int(np.prod(tensor.dimensions, dtype=object)) // elements * size
    if kind.name not in TENSOR_TYPES or count > len(data):
        return None
    with np.errstate(all="ignore"):
        return quants.dequantize(np.frombuffer(data[:count], np.uint8).reshape(-1, size), kind)


class ModelMutation:
    """Equal seeds give equal mutants."""

    def __init__(self, models: Mapping[str, GgufBytes], seed: int) -> None:
        self._models = models
        self._random = random.Random(seed)

    def next(self) -> tuple[str, GgufBytes]:
        """The name of a model, and the model with one to three changes."""
        name = self._random.choice(list(self._models))
        model = self._models[name]
        for _ in range(self._random.randint(1, _MOST_CHANGES)):
            model = self._random.choice(_CHANGES)(self, model)
        return name, model

    # --- weights ---------------------------------------------------------------------------------------------------

    def _set_weight(self, model: GgufBytes) -> GgufBytes:
        """A number, or a block's scale or minimum."""
        return self._change_tensor(model, self._with_other_weight)

    def _with_other_weight(self, tensor: Tensor) -> Tensor:
        type_name = gguf.GGMLQuantizationType(tensor.type_id).name
        layout = LAYOUTS.get(type_name)
        value = self._random.choice(_FLOATS)
        if layout is None:
            piece, at, size = encoded(type_name, _clipped(type_name, value)), 0, len(encoded(type_name, 0.0))
        else:
            at = self._random.choice([layout.scale_at, layout.minimum_at or layout.scale_at])
            size = layout.block_bytes
            piece = encoded(type_name, _clipped("F16", value))
            if type_name == "MXFP4":
                piece = bytes([self._random.choice((0, 1, 127, 200, 252, 253, 254, 255))])
        begin = self._random.randrange(len(tensor.data) // size) * size + at
        return replace(tensor, data=tensor.data[:begin] + piece + tensor.data[begin + len(piece) :])

    def _scramble_block(self, model: GgufBytes) -> GgufBytes:
        return self._change_tensor(model, self._with_scrambled_block)

    def _with_scrambled_block(self, tensor: Tensor) -> Tensor:
        begin = self._random.randrange(len(tensor.data))
        piece = self._random.randbytes(min(self._random.choice((1, 4, 32)), len(tensor.data) - begin))
        return replace(tensor, data=tensor.data[:begin] + piece + tensor.data[begin + len(piece) :])

    def _scale_tensor(self, model: GgufBytes) -> GgufBytes:
        """All of its weights, to the largest that are finite."""
        return self._change_tensor(model, self._with_factor)

    def _with_factor(self, tensor: Tensor) -> Tensor:
        type_name = gguf.GGMLQuantizationType(tensor.type_id).name
        factor = self._random.choice(_FACTORS)
        if type_name == "F32":
            whole = len(tensor.data) // 4 * 4  # it may be the data of another type
            with np.errstate(all="ignore"):
                values = np.frombuffer(tensor.data[:whole], np.float32).astype(np.float64) * factor
                scaled = np.clip(values, -3.4e38, 3.4e38).astype(np.float32).tobytes()
            return replace(tensor, data=scaled + tensor.data[whole:])
        layout = LAYOUTS.get(type_name)
        if layout is None or type_name == "MXFP4":
            return self._with_other_weight(tensor)
        blocks = np.frombuffer(tensor.data, np.uint8).reshape(-1, layout.block_bytes).copy()
        scales = np.full(len(blocks), _clipped("F16", factor), np.float16)
        put_halves(type_name, blocks, layout.scale_at, scales)
        return replace(tensor, data=blocks.tobytes())

    # --- descriptions of tensors -----------------------------------------------------------------------------------

    def _set_dimension(self, model: GgufBytes) -> GgufBytes:
        def change(tensor: Tensor) -> Tensor:
            dimensions = list(tensor.dimensions)
            at = self._random.randrange(len(dimensions))
            dimensions[at] = self._other_integer(dimensions[at]) % 2**64
            return replace(tensor, dimensions=tuple(dimensions))

        return self._change_tensor(model, change)

    def _reshape(self, model: GgufBytes) -> GgufBytes:
        def change(tensor: Tensor) -> Tensor:
            turned = tuple(self._random.sample(tensor.dimensions, len(tensor.dimensions)))
            return replace(tensor, dimensions=self._random.choice((turned, (*turned, 1), turned[:1])))

        return self._change_tensor(model, change)

    def _set_type(self, model: GgufBytes) -> GgufBytes:
        return self._change_tensor(model, lambda tensor: replace(tensor, type_id=self._random.randrange(45)))

    def _set_offset(self, model: GgufBytes) -> GgufBytes:
        size = sum(len(tensor.data) for tensor in model.tensors)
        offset = self._random.choice((0, 32, 33, size // 2 // 32 * 32, size, 2**63, 2**64 - 32))
        return self._change_tensor(model, lambda tensor: replace(tensor, offset=offset))

    def _rename_tensor(self, model: GgufBytes) -> GgufBytes:
        other = self._random.choice(model.tensors).name
        return self._change_tensor(model, lambda tensor: replace(tensor, name=other))

    def _swap_tensors(self, model: GgufBytes) -> GgufBytes:
        """Swap the names of two tensors, and so their shapes or weights."""
        tensors = list(model.tensors)
        a, b = (self._random.randrange(len(tensors)) for _ in range(2))
        first, second = tensors[a], tensors[b]
        tensors[a], tensors[b] = replace(first, name=second.name), replace(second, name=first.name)
        return replace(model, tensors=tensors)

    def _drop_tensor(self, model: GgufBytes) -> GgufBytes:
        tensors = list(model.tensors)
        del tensors[self._random.randrange(len(tensors))]
        return replace(model, tensors=tensors) if tensors else model

    # --- keys ------------------------------------------------------------------------------------------------------

    def _set_number(self, model: GgufBytes) -> GgufBytes:
        """Change a setting of the architecture or the vocabulary."""

        def change(value: Value) -> Value:
            if value.type_id in (F32, F64):
                number = self._random.choice((*_FLOATS, 10000.0, 4.0, 1.0, -1.0))
                return Value(value.type_id, struct.pack("<f" if value.type_id == F32 else "<d", number))
            if value.type_id in (STRING, ARRAY):
                return self._with_other_byte(value)
            other = self._other_integer(int.from_bytes(value.payload, "little")) % 2 ** (8 * len(value.payload))
            return Value(value.type_id, other.to_bytes(len(value.payload), "little"))

        return self._change_value(model, change)

    def _set_value_type(self, model: GgufBytes) -> GgufBytes:
        return self._change_value(model, lambda value: Value(self._random.randrange(14), value.payload))

    def _with_other_byte(self, value: Value) -> Value:
        content = bytearray(value.payload)
        if content:
            content[self._random.randrange(len(content))] = self._random.randrange(256)
        return Value(value.type_id, bytes(content))

    def _rename_key(self, model: GgufBytes) -> GgufBytes:
        pairs = list(model.pairs)
        at = self._random.randrange(len(pairs))
        pairs[at] = (self._random.choice(pairs)[0], pairs[at][1])
        return replace(model, pairs=pairs)

    def _drop_key(self, model: GgufBytes) -> GgufBytes:
        pairs = list(model.pairs)
        del pairs[self._random.randrange(len(pairs))]
        return replace(model, pairs=pairs) if pairs else model

    def _set_count(self, model: GgufBytes) -> GgufBytes:
        count = self._other_integer(len(model.tensors)) % 2**64
        if self._random.random() < 0.5:
            return replace(model, tensor_count=count)
        return replace(model, pair_count=count)

    # --- what they have in common ----------------------------------------------------------------------------------

    def _other_integer(self, number: int) -> int:
        return self._random.choice((number - 1, number + 1, 2 * number, number // 2, *_INTEGERS))

    def _change_tensor(self, model: GgufBytes, change: Callable[[Tensor], Tensor]) -> GgufBytes:
        tensors = list(model.tensors)
        at = self._random.randrange(len(tensors))
        tensors[at] = change(_as_stored(tensors[at]))
        return replace(model, tensors=tensors)

    def _change_value(self, model: GgufBytes, change: Callable[[Value], Value]) -> GgufBytes:
        pairs = list(model.pairs)
        at = self._random.randrange(len(pairs))
        pairs[at] = (pairs[at][0], change(pairs[at][1]))
        return replace(model, pairs=pairs)


def _as_stored(tensor: Tensor) -> Tensor:
    """The tensor with a type that fits its data, if a change has taken that away."""
    known = {kind.value: kind for kind in gguf.GGMLQuantizationType}
    kind = known.get(tensor.type_id)
    if kind is not None and kind.name in TENSOR_TYPES and len(tensor.data) % gguf.GGML_QUANT_SIZES[kind][1] == 0:
        return tensor
    return replace(tensor, type_id=int(gguf.GGMLQuantizationType.F32))


def _clipped(type_name: str, value: float) -> float:
    """Finite values stay finite in the type."""
    largest = 65504.0 if type_name == "F16" else 3.38e38
    return value if not np.isfinite(value) else float(np.clip(value, -largest, largest))


_CHANGES: tuple[Callable[[ModelMutation, GgufBytes], GgufBytes], ...] = (
    *[ModelMutation._set_weight] * 6,
    *[ModelMutation._scramble_block] * 2,
    *[ModelMutation._scale_tensor] * 4,
    ModelMutation._set_dimension,
    ModelMutation._reshape,
    ModelMutation._set_type,
    ModelMutation._set_offset,
    ModelMutation._rename_tensor,
    ModelMutation._swap_tensors,
    ModelMutation._drop_tensor,
    *[ModelMutation._set_number] * 4,
    ModelMutation._set_value_type,
    ModelMutation._rename_key,
    ModelMutation._drop_key,
    ModelMutation._set_count,
)
