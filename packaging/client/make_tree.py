"""The source tree of weos-client, made of ``protocol/``: ``python packaging/client/make_tree.py build/client``.

The engine is a program, in an environment of its own, and calls its packages by short names. A client is a library in
somebody else's environment, where a module named ``protocol`` may be another's: there the package is ``weos_client``.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import tomli

ROOT = Path(__file__).parents[2]
PACKAGE = "weos_client"
DEPENDENCIES = frozenset({"anyio", "msgpack", "msgspec", "pydantic", "typing_extensions"})
"""What ``protocol`` imports; pydantic brings pydantic_core."""


def make_tree(folder: Path) -> None:
    """Write the tree, in place of what was there. Its version is the engine's."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "protocol" / "schemas", folder / PACKAGE / "schemas")
    (folder / PACKAGE / "py.typed").touch()
    modules = sorted((ROOT / "protocol").glob("*.py"))
    names = "|".join(module.stem for module in modules)
    for module in modules:
        source = re.sub(rf"\bprotocol(?=\.(?:{names})\b| import )", PACKAGE, module.read_text(encoding="utf-8"))
        (folder / PACKAGE / module.name).write_text(source, encoding="utf-8")
    shutil.copy(Path(__file__).with_name("README.md"), folder)
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (folder / "pyproject.toml").write_text(_pyproject(project), encoding="utf-8")


def _pyproject(engine: dict[str, Any]) -> str:
    needed = [line for line in engine["dependencies"] if re.split("[<>=]", line)[0] in DEPENDENCIES]
    text = Path(__file__).with_name("pyproject.toml").read_text(encoding="utf-8")
    text = re.sub(r"^version = .*$", f'version = "{engine["version"]}"', text, flags=re.MULTILINE)
    return re.sub(r"^dependencies = .*$", f"dependencies = {needed!r}".replace("'", '"'), text, flags=re.MULTILINE)


if __name__ == "__main__":
    make_tree(Path(sys.argv[1]))
