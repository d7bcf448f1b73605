from __future__ import annotations

from pathlib import Path

import pytest

from protocol.whole_file import whole_file, write_whole


def test_a_file_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"one")
    write_whole(tmp_path / "file", b"other", mode=0o600)
    assert (tmp_path / "file").read_bytes() == b"other"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_one_that_is_not_finished_leaves_the_earlier_one(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"one")

    def interrupted() -> None:
        with whole_file(tmp_path / "file") as file:
            file.write(b"ot")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "file").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
