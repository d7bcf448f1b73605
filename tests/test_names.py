"""Names and docstrings of product code: one thing a name, and each public name says what it is."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
NO_NOUN = re.compile(r"(Of|As|By|So|Whoever|Whose|Nobody)\b")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> Iterator[tuple[str, ast.Module]]:
    for package in ("protocol", "engine", "actors", "tools/engine_ctl"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def public(body: list[ast.stmt], owner: str) -> Iterator[tuple[str, Definition]]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield f"{owner}:{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{owner}:{node.name}")


def docstrings(tree: ast.Module) -> Iterator[str]:
    """All string statements: of modules, classes, functions and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def test_no_two_modules_of_tests_share_a_name() -> None:
    """Their folders are no packages: pytest collects one of two, and calls the other an error."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, times in names.items() if times > 1] == []


def test_no_two_classes_share_a_name() -> None:
    names = Counter(node.name for _, tree in trees() for node in tree.body if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1 and not name.startswith("_")] == []


def test_every_public_name_says_what_it_is() -> None:
    silent = [name for path, tree in trees() for name, node in public(tree.body, path) if not ast.get_docstring(node)]
    assert silent == []


def test_a_docstring_begins_with_what_the_thing_is() -> None:
    begun = [f"{path}: {text[:60]}" for path, tree in trees() for text in docstrings(tree) if NO_NOUN.match(text)]
    assert begun == []
