"""The documentation: every page is in the index, every link leads somewhere, every file and name mentioned exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
FOLDERS = frozenset({"actors", "benchmarks", "csrc", "docs", "engine", "packaging", "protocol", "tests", "tools"})
"""Top folders: what begins with one of them and is written as code is the path of a file or folder."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?P<path>[\w.-]+(?:/[\w.*-]+)+/?)(?::(?P<name>[A-Za-z_][\w.:~]*))?")
TEST = re.compile(r"\b(?P<path>tests/[\w/]+\.py)::(?P<name>\w+)")
PLACEHOLDER = re.compile(r"[A-Z]{3,}")
"""What a reader replaces, as in ``csrc/model/load/architectures/NAME.cpp``."""


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose_of(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def mentioned(page: Path) -> Iterator[tuple[str, str]]:
    """Paths in the repository that the page mentions as code, each with the name in it, or an empty one."""
    for code in CODE.findall(prose_of(page)):
        found = PATH.fullmatch(code)
        if found and found["path"].split("/")[0] in FOLDERS:
            yield found["path"], (found["name"] or "").rstrip(".:")
    for test in TEST.finditer(page.read_text()):
        yield test["path"], test["name"]


def python_names(source: str) -> Iterator[str]:
    """Classes, functions and variables of a module, and those in its classes as ``Class.name``."""

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for statement in body:
            match statement:
                case ast.ClassDef():
                    yield prefix + statement.name
                    yield from walk(statement.body, f"{prefix}{statement.name}.")
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    yield prefix + statement.name
                case ast.Assign():
                    yield from (prefix + target.id for target in statement.targets if isinstance(target, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    yield prefix + name

    return walk(ast.parse(source).body, "")


def defines(path: Path, name: str) -> bool:
    """Whether a file defines a name: Python by its syntax tree, all else by a word that stands there.

    A C++ method is written as ``Class::method`` and looked for as its file has it, qualified or in the class.
    """
    source = path.read_text()
    if path.suffix == ".py":
        return name in python_names(source)
    *owner, last = name.split("::")
    in_header = bool(owner) and path.suffix == ".h"
    return all(re.search(rf"\b{re.escape(word)}\b", source) for word in ([*owner, last] if in_header else [name]))


def test_index_lists_every_page_once() -> None:
    index = DOCS / "README.md"
    listed = [target for target in LINK.findall(index.read_text()) if target.endswith(".md")]
    pages = [str(page.relative_to(DOCS)) for page in PAGES if page.is_relative_to(DOCS) and page != index]
    assert sorted(target for target in listed if not target.startswith("../")) == pages


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_page_holds_an_unfinished_merge(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if re.match(r"(<{7}|={7}|>{7})(\s|$)", line)] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors_of(linked)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_mentioned_files_and_names_exist(page: Path) -> None:
    missing = []
    for path, name in mentioned(page):
        known = "/".join(takewhile(lambda part: not PLACEHOLDER.search(part), path.split("/")))
        files = list(ROOT.glob(known.rstrip("/")))
        if not files or (name and not any(defines(file, name) for file in files)):
            missing.append(f"{path}:{name}" if name else path)
    assert missing == []


def test_missing_name_is_noticed(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("LIMIT: int = 1\nclass Loop:\n    def step(self) -> None: ...\n")
    header = tmp_path / "loop.h"
    header.write_text("class Loop {\n  void step();\n};\n")
    unit = tmp_path / "loop.cpp"
    unit.write_text("void Loop::step() {}\n")

    assert defines(module, "LIMIT")
    assert defines(module, "Loop.step")
    assert not defines(module, "step")
    assert defines(header, "Loop::step")
    assert defines(unit, "Loop::step")
    assert not defines(unit, "Loop::stop")
