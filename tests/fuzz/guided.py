"""Coverage-guided fuzzing of what reads bytes in Python: inputs that reach new code become examples of their own.

    python -m tests.fuzz.guided "chat template" CORPUS [libFuzzer's flags, such as -runs=100000]

Wants atheris, which is no part of the development environment (``make fuzz-guided``). Ends with the first input that is
neither read nor refused, and leaves it in the working directory.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import atheris

from tests.fuzz.corpus import kept
from tests.fuzz.parsers import PARSERS


def main(name: str, corpus: str, *flags: str) -> None:
    """Fuzz the parser of that name, from its own examples and what the corpus has."""
    parser = PARSERS[name]
    Path(corpus).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="engine-fuzz-") as made:
        folder = Path(made)
        for number, example in enumerate((*parser.examples(folder), *kept(name))):
            (Path(corpus) / f"example-{number}").write_bytes(example)

        def read(content: bytes) -> None:
            try:
                parser.read(content, folder)
            except parser.refusals:
                return

        for function in _own_functions():
            atheris.instrument_func(function)
        atheris.Setup([sys.argv[0], corpus, *flags], read)
        atheris.Fuzz()


def _own_functions() -> Iterator[FunctionType]:
    """The engine's, to be followed. Not by import: an editable install has a loader of its own, unknown to atheris."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in ("actors", "engine", "protocol"):
            members = [*vars(module).values()]
            members += [member for one in members if isinstance(one, type) for member in vars(one).values()]
            for member in members:
                getter = member.fget if isinstance(member, property) else member
                function: object = getter.__func__ if isinstance(getter, (classmethod, staticmethod)) else getter
                if isinstance(function, FunctionType) and function.__module__ == module_name:
                    yield function


if __name__ == "__main__":
    main(*sys.argv[1:])
