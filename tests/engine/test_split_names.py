from __future__ import annotations

import pytest

from engine.artifact.split_files import is_later_part, parts_of


def test_any_part_names_all() -> None:
    parts = ("a/m-00001-of-00003.gguf", "a/m-00002-of-00003.gguf", "a/m-00003-of-00003.gguf")
    for part in parts:
        assert parts_of(part) == parts
    assert [is_later_part(part) for part in parts] == [False, True, True]


@pytest.mark.parametrize(
    "name", ["m.gguf", "m-1-of-3.gguf", "m-00004-of-00003.gguf", "m-00000-of-00003.gguf", "m-00001-of-99999.gguf"]
)
def test_other_files_are_whole(name: str) -> None:
    assert parts_of(name) == (name,)
    assert not is_later_part(name)


def test_the_ending_stays_as_it_is_written() -> None:
    assert parts_of("M-00002-of-00002.GGUF") == ("M-00001-of-00002.GGUF", "M-00002-of-00002.GGUF")
