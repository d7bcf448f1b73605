"""Rewrite a GGUF with every tensor as F32: the same weights, free of block formats."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.support.gguf_factory import new_gguf


def write_dequantized(source: Path, target: Path) -> None:
    """Metadata is carried over; the file appears complete or not at all."""
    reader = gguf.GGUFReader(source)
    architecture = str(reader.fields["general.architecture"].contents())
    partial = target.with_suffix(".partial")
    with new_gguf(partial, architecture) as writer:
        for name, field in reader.fields.items():
            if name.startswith("GGUF.") or name in {"general.architecture", "general.file_type"}:
                continue
            sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        for tensor in reader.tensors:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, np.asarray(values, np.float32))
    partial.rename(target)
