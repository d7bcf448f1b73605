"""Which build this is: what it was made of, and what it computes. docs/records.md has the rule."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from engine import _core
from engine.identity.arithmetic import arithmetic_digest
from protocol.build import Build

PACKAGES = ("actors", "engine", "engine_ctl", "protocol")


@functools.cache
def current_build() -> Build:
    """Some 20 ms the first time, which should be as early as the process can: of Python's sources it sees the files.

    Raises InvalidRequest: ``ENGINE_CPU_FEATURES`` names what is no feature.
    """
    native = _core.native_build()
    made_of = (native["sources"], native["compiler"], native["flags"], digest_of_files(python_sources()))
    arithmetic, reason = _arithmetic()
    return Build(
        id=hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:32],
        arithmetic=arithmetic,
        reason=reason,
        compiler=native["compiler"],
        flags=native["flags"],
    )


def _arithmetic() -> tuple[str | None, str | None]:
    """The digest, or why there is none: a sandbox without memory files or ``/proc`` keeps no engine from starting."""
    try:
        return arithmetic_digest(), None
    except (OSError, MemoryError) as error:
        return None, f"the self-test could not run: {str(error) or type(error).__name__}"


def digest_of_files(files: Mapping[str, Path]) -> str:
    """SHA-256, hexadecimal, of what ``sha256sum`` prints for files in the order of their names. Raises OSError."""
    listing = (f"{hashlib.sha256(files[name].read_bytes()).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(listing).encode()).hexdigest()


def python_sources() -> dict[str, Path]:
    """The product's Python files, by package and path in it."""
    return {
        f"{package}/{path.relative_to(folder).as_posix()}": path
        for package in PACKAGES
        if (found := find_spec(package)) is not None
        for folder in found.submodule_search_locations or ()
        for path in Path(folder).rglob("*.py")
    }


def stale_sources() -> str | None:
    """The folder of sources beside this package, an editable install's, where the extension was made of others.

    ``None``: it was made of these, or there are none.
    """
    root = Path(__file__).parents[2]
    files = [root / "CMakeLists.txt", *(path for path in (root / "csrc").rglob("*") if path.is_file())]
    if not files[0].is_file():
        return None
    named = {path.relative_to(root).as_posix(): path for path in files}
    return None if digest_of_files(named) == _core.native_build()["sources"] else str(root / "csrc")
