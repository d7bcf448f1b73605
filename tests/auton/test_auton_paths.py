"""Patterns of paths: what they allow, and that none takes long."""

from __future__ import annotations

import pytest

from auton import paths
from auton.paths import is_allowed


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("kernel/**", "kernel/a.c", True),
        ("kernel/**", "kernel/a/b.c", True),
        ("kernel/**", "kernel", False),
        ("kernel/**", "kernels/a.c", False),
        ("**", "a/b/c", True),
        ("**/*.c", "a.c", True),
        ("kernel/**/*.c", "kernel/a.c", True),
        ("kernel/**/*.c", "kernel/x/y/a.c", True),
        ("kernel/**/*.c", "kernel/x/y/a.h", False),
        ("kernel/**/x/**/a.c", "kernel/x/x/b/a.c", True),
        ("kernel/*", "kernel/a/b.c", False),
        ("kernel/*.c", "kernel/.c", True),
        ("kernel/*a*b", "kernel/xaxxb", True),
        ("kernel/*a*b", "kernel/xaxxbc", False),
        ("kernel/?.c", "kernel/a.c", True),
        ("kernel/?.c", "kernel/ab.c", False),
        ("kernel/[a].c", "kernel/a.c", False),
        ("kernel/[a].c", "kernel/[a].c", True),
        ("a.c", "axc", False),
        ("/a", "a", False),
        ("", "a", False),
    ],
)
def test_a_pattern_allows(pattern: str, path: str, fits: bool) -> None:
    assert is_allowed(path, (pattern,)) == fits


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("**/" * 60 + "x", "a/" * 60 + "b"),
        ("*a" * 99 + "*c", "a" * 250 + "b"),
        ("*/" * 30 + "**/" * 30 + "x", "a/" * 63),
    ],
)
def test_no_pattern_takes_long(pattern: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, since nothing here goes by a clock: as many comparisons as the product of both lengths, at most."""
    compared = 0

    class Counted(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    fits_name = paths._fits_name
    monkeypatch.setattr(paths, "_fits_name", lambda one, name: fits_name([*map(Counted, one)], name))  # type: ignore[arg-type]
    assert not is_allowed(path, (pattern,))
    assert 0 < compared <= 4 * len(pattern) * len(path)
