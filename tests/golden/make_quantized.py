"""Make quantized.json: what the reference quantizer makes of rows (:mod:`tests.support.quantizer_rows`), of wide models
(:mod:`tests.support.quantized_models`) and of real ones.

Run by a peer's Python (see ``make peers``) in the repository's root, with the folder of the real models:

    ~/.cache/weos-engine/peers/avx2/bin/python -m tests.golden.make_quantized FOLDER

or with ``--full-size`` full_size_quantized.json, of :mod:`tests.support.full_size_models`, which takes ten minutes
and 5 GB of FOLDER.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import llama_cpp

from tests.golden.quantized_data import (
    ARCHITECTURES,
    FOLDER,
    FULL_SIZE_RECIPES,
    REAL_IMPORTANCE,
    REAL_MODELS,
    RECIPES,
    Floats,
    RowCase,
    row_cases,
    row_digest,
    tensor_digests,
)
from tests.support.architecture_models import ALL_CASES, write_architecture_model
from tests.support.full_size_models import FULL_SIZE_MODELS, write_full_size_model
from tests.support.importance_files import IMPORTANCE_FILES, MODEL
from tests.support.quantized_models import WIDE_MODELS, importance_for, wide_importance, write_wide_model
from tests.support.quantizer_rows import make_importance, make_rows

FILE_TYPES = {
    "q4_0": 2, "q8_0": 7, "q3_k_m": 12, "q4_k_s": 14, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18, "iq4_xs": 30,
}  # fmt: skip
TYPE_IDS = {
    "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14,
    "IQ4_NL": 20, "IQ4_XS": 23,
}  # fmt: skip
MOST_BYTES = 4
"""A weight takes no more than an F32."""


class ImportanceEntry(ctypes.Structure):
    """``llama_model_imatrix_data`` of llama.h; the list of them ends with an empty one."""

    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t))


def quantize_model(
    source: Path, target: Path, recipe: str, importance: Mapping[str, Floats] | None = None, threads: int = 2
) -> None:
    parameters: Any = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPES[recipe]
    parameters.nthread = threads
    parameters.allow_requantize = True
    if importance is not None:
        entries = (ImportanceEntry * (len(importance) + 1))()
        for entry, (name, values) in zip(entries, importance.items(), strict=False):
            entry.name = name.encode()
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            entry.size = values.size
        field = dict(type(parameters)._fields_)["imatrix"]
        parameters.imatrix = ctypes.cast(entries, field)
    if status := llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters)):
        raise RuntimeError(f"llama_model_quantize failed with {status} on {source}")


def quantize_rows(case: RowCase) -> bytes:
    library = ctypes.CDLL(str(next(Path(llama_cpp.__file__).parent.glob("lib/libggml-base.so"))))
    function = library.ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = [ctypes.c_int, pointer, pointer, integer, integer, integer, pointer]
    x = make_rows(case.kind, case.rows, case.columns, case.seed)
    importance = make_importance(case.importance, case.columns, case.seed)
    out = ctypes.create_string_buffer(x.size * MOST_BYTES)
    weights = importance.ctypes.data if importance is not None else None
    size = function(TYPE_IDS[case.type], x.ctypes.data, out, 0, case.rows, case.columns, weights)
    return out.raw[:size]


def model_digests(
    source: Path, importance: Mapping[str, Floats], scratch: Path, recipes: Iterable[str] = RECIPES
) -> dict[str, dict[str, str]]:
    """Digests of all tensors by recipe, without importance and with it; none where the reference refuses a number."""
    target = scratch / "target.gguf"
    found: dict[str, dict[str, str]] = {}
    for recipe in recipes:
        for name, values in ((recipe, None), (f"{recipe} with importance", importance)):
            try:
                quantize_model(source, target, recipe, values)
                found[name] = tensor_digests(target)
            except RuntimeError:
                found[name] = {}
    return found


def models(folder: Path, scratch: Path) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, model in WIDE_MODELS.items():
        source = write_wide_model(scratch / f"{name}.gguf", model)
        found[name] = model_digests(source, wide_importance(model), scratch)
    for name in ARCHITECTURES:
        source = write_architecture_model(scratch / f"{name}.gguf", **ALL_CASES[name])
        found[name] = model_digests(source, importance_for(source), scratch)
    for name, file_name in REAL_MODELS.items():
        found[name] = model_digests(folder / file_name, importance_for(folder / file_name), scratch)
    return found


def importance_files(folder: Path, scratch: Path) -> dict[str, dict[str, str]]:
    """What the reference's own program makes of q4_k_m and of files with importance, which it reads itself."""
    wide, target = write_wide_model(scratch / "wide.gguf", MODEL), scratch / "target.gguf"
    given = [(name, wide, write(scratch / f"{name}.importance")) for name, write in IMPORTANCE_FILES.items()]
    given += [(path.name, folder / REAL_MODELS[path.stem], path) for path in REAL_IMPORTANCE]
    program = Path(sys.prefix) / "build" / "bin" / "llama-quantize"
    found: dict[str, dict[str, str]] = {}
    for name, source, importance in given:
        command: list[str | Path] = [program, "--imatrix", importance, source, target, "q4_k_m", "2"]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        found[name] = tensor_digests(target)
    return found


def full_size_models(scratch: Path) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, recipes in FULL_SIZE_RECIPES.items():
        source = write_full_size_model(scratch / "source.gguf", FULL_SIZE_MODELS[name])
        found[name] = model_digests(source, importance_for(source), scratch, recipes)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full-size", action="store_true")
    arguments = parser.parse_args()
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, None)
    data: dict[str, Any] = {"peer": f"llama-cpp-python {llama_cpp.__version__}"}
    with tempfile.TemporaryDirectory(dir=arguments.folder if arguments.full_size else None) as scratch:
        if arguments.full_size:
            data["models"] = full_size_models(Path(scratch))
        else:
            data["rows"] = {case.name: row_digest(quantize_rows(case)) for case in row_cases()}
            data["models"] = models(arguments.folder, Path(scratch))
            data["importance_files"] = importance_files(arguments.folder, Path(scratch))
    name = "full_size_quantized" if arguments.full_size else "quantized"
    (FOLDER / f"{name}.json").write_text(json.dumps(data, indent=0) + "\n")


if __name__ == "__main__":
    main()
