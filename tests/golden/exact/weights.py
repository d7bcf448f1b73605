"""A GGUF's settings and tensors, the latter as float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from tests.golden.exact.formulas import Array, layer_norm, rms_norm


class Weights:
    """Tensors are dequantized (to float32) each time they are asked for, so that few are in memory at once."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self._fields = reader.fields
        self._tensors = {tensor.name.removesuffix(".weight"): tensor for tensor in reader.tensors}
        self.architecture = str(self._fields["general.architecture"].contents())

    def setting(self, name: str, default: Any = None) -> Any:
        """Setting of the architecture. Raises KeyError if there is neither it nor a default."""
        field = self._fields.get(f"{self.architecture}.{name}")
        if field is None and default is None:
            raise KeyError(f"{self.architecture}.{name}")
        return default if field is None else field.contents()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str, rows: npt.NDArray[np.int64] | slice = slice(None)) -> Array:
        """Those rows of it, rows outermost; its name without ``.weight``. Raises KeyError."""
        stored = self._tensors[name]
        plain = gguf.quants.dequantize(stored.data[rows], stored.tensor_type)
        return np.asarray(plain, np.float32).astype(np.float64)

    def tensor_or_none(self, name: str) -> Array | None:
        return self.tensor(name) if name in self else None

    def normed(self, name: str, x: Array) -> Array:
        """``x`` normalized by the weights of that name: by a layer norm (Ba et al. 2016) where the file has its
        epsilon, else by an RMS norm (Zhang and Sennrich 2019).
        """
        epsilon = self.setting("attention.layer_norm_epsilon", 0.0)
        if epsilon:
            return layer_norm(x, self.tensor(name), self.tensor_or_none(f"{name}.bias"), float(epsilon))
        return rms_norm(x, self.tensor(name), float(self.setting("attention.layer_norm_rms_epsilon")))

    def rows(self, name: str) -> int:
        return len(self._tensors[name].data)
