"""Well-formed inputs of the fuzzers that are programs of their own, one folder each.

``python -m tests.fuzz.native_examples FOLDER`` writes them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.fuzz.corpus import kept
from tests.fuzz.parsers import PARSERS

OF_PARSERS = {
    "gguf": ("model file", "vocabulary"),
    "model": ("model file",),
    "split": ("split model",),
    "text": ("chat template",),
}
"""Whose examples are whose."""


def main(folder: str) -> None:
    """Write them, beside what is there."""
    with tempfile.TemporaryDirectory(prefix="engine-fuzz-") as scratch:
        for program, names in OF_PARSERS.items():
            target = Path(folder) / program
            target.mkdir(parents=True, exist_ok=True)
            examples = [example for name in names for example in PARSERS[name].examples(Path(scratch))]
            examples += kept(program)
            for number, example in enumerate(examples):
                (target / f"example-{number}").write_bytes(example)


if __name__ == "__main__":
    main(*sys.argv[1:])
