"""The program ``engine-ctl``: the command line, where the packages are those that it belongs to.

They have short names, which another program's packages may have too. Nothing of them is imported before that is known.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

_MODULES = {"protocol": "error_codes.py", "engine": "identity/version.py", "actors": "system.py"}
"""A module of each package, by which it is known."""


def main() -> None:
    """Run the command line; end with an error of one line where a package is another program's."""
    if fault := why_mixed():
        sys.exit(f"error: {fault}")
    from engine_ctl.main import main as command_line

    command_line()


def why_mixed() -> str:
    """What is wrong with the packages that are found under the engine's names; empty: nothing."""
    for name, module in _MODULES.items():
        spec = find_spec(name)
        folders = list(spec.submodule_search_locations or ()) if spec is not None else []
        if any(Path(folder, module).is_file() for folder in folders):
            continue
        found = f"at {', '.join(folders) or spec.origin} is another program's" if spec is not None else "is missing"
        return (
            f"the package '{name}' {found}; weos-engine needs an environment of its own, such as pipx makes "
            "(pipx install weos-engine). Beside other packages install weos-client, which has one of another name"
        )
    return ""
