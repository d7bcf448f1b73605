"""Inputs by which fuzzers reached new code: a small part of them is kept, ``corpus/NAME.zip`` of each.

python -m tests.fuzz.corpus NAME FOLDER...     # keep those of the folders that fit, the smallest first
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_CORPUS = Path(__file__).with_name("corpus")
_KEPT_BYTES = 40_000
"""The bound on the inputs of one fuzzer."""


def kept(name: str) -> list[bytes]:
    """The inputs that are kept of a fuzzer; none where it has none."""
    path = _CORPUS / f"{name.replace(' ', '-')}.zip"
    if not path.exists():
        return []
    with ZipFile(path) as archive:
        return [archive.read(member) for member in archive.namelist()]


def names() -> list[str]:
    """The fuzzers that have some, spaces as hyphens."""
    return sorted(path.stem for path in _CORPUS.glob("*.zip"))


def keep(name: str, inputs: Sequence[bytes]) -> None:
    """Equal inputs give equal files."""
    _CORPUS.mkdir(exist_ok=True)
    room = _KEPT_BYTES
    with ZipFile(_CORPUS / f"{name.replace(' ', '-')}.zip", "w", ZIP_DEFLATED) as archive:
        for content in sorted(set(inputs), key=lambda content: (len(content), content)):
            room -= len(content)
            if room < 0:
                break
            archive.writestr(ZipInfo(hashlib.sha256(content).hexdigest()[:16]), content)


if __name__ == "__main__":
    keep(sys.argv[1], [path.read_bytes() for folder in sys.argv[2:] for path in Path(folder).iterdir()])
