"""Data that is tested against and not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.support.llama_cpp import peers_folder

_DEFAULT = Path(__file__).parents[3] / "shared" / "data"


def outside_data(name: str) -> Path:
    """A folder under ``ENGINE_TEST_DATA``. Skips where it is absent."""
    root = Path(os.environ.get("ENGINE_TEST_DATA") or _DEFAULT)
    if not (root / name).is_dir():
        pytest.skip(f"{root / name} is not there; ENGINE_TEST_DATA says where the outside test data is")
    return root / name


def llama_cpp_models() -> Path:
    """The folder of vocabularies and templates in llama.cpp's tree. Skips where ``make peers`` has not fetched it."""
    found = sorted(peers_folder().glob("avx2/llama_cpp_python-*/vendor/llama.cpp/models"))
    if not found:
        pytest.skip(f"no llama.cpp in {peers_folder()}; make peers fetches it")
    return found[-1]


def input_read_wrongly(name: str) -> Path:
    """An input that was once read wrongly, from ``ENGINE_TEST_CASES``. Skips where it is absent."""
    folder = Path(os.environ.get("ENGINE_TEST_CASES") or _DEFAULT.parent / "cases")
    if not (folder / name).is_file():
        pytest.skip(f"{folder / name} is not there; ENGINE_TEST_CASES says where such inputs are")
    return folder / name
