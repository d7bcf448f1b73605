"""Inputs that once reached new code are read or refused to this day."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.corpus import kept, names
from tests.fuzz.native_examples import OF_PARSERS
from tests.fuzz.parsers import PARSERS

_PARSERS = {name.replace(" ", "-"): (name,) for name in PARSERS} | OF_PARSERS


@pytest.mark.parametrize("name", names())
def test_every_input_is_read_or_refused(name: str, tmp_path: Path) -> None:
    inputs = kept(name)
    assert inputs
    for parser in (PARSERS[one] for one in _PARSERS[name]):
        for content in inputs:
            try:
                parser.read(content, tmp_path)
            except parser.refusals:
                continue
