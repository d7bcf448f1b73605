"""Compiled code as binutils show it: instructions, definitions and references of an object or a shared library."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SYMBOL = re.compile(r"^[0-9a-f]+ <(?P<name>.*)>:$")
_INSTRUCTION = re.compile(r"^ *[0-9a-f]+:\t(?P<bytes>[0-9a-f ]+?) *\t(?P<text>.*)$")
_SECTION = re.compile(r"^ *[0-9]+ (?P<name>\S+)")
_RELOCATIONS = re.compile(r"^RELOCATION RECORDS FOR \[(?P<section>.*)\]:$")
_BEYOND_BASELINE = re.compile(
    r"""
    (?:(?:26|2e|36|3e|64|65|67)\ )*         # segment, address size
    (?:
        (?:c4|c5|62)\ .*                    # VEX and EVEX: neither can be anything else in 64-bit code
      | (?:(?:66|f2|f3)\ )*(?:4.\ )?0f\ (?:38|3a)\ .*  # SSSE3, SSE4, AES, CRC32, MOVBE
      | f3\ (?:4.\ )?0f\ (?:b8|bd)\ .*      # POPCNT, LZCNT
    )
    """,
    re.VERBOSE,
)


def beyond_baseline(path: Path) -> dict[str, str]:
    """The first instruction that not every x86-64 processor has, of each symbol that holds one; symbols as mangled."""
    found: dict[str, str] = {}
    symbol = ""
    for line in _output("objdump", "--disassemble", "--wide", str(path)):
        if instruction := _INSTRUCTION.match(line):
            if _BEYOND_BASELINE.match(instruction["bytes"] + " "):
                found.setdefault(symbol, instruction["text"])
        elif start := _SYMBOL.match(line):
            symbol = start["name"]
    return found


@dataclass(frozen=True, slots=True)
class Symbols:
    functions: frozenset[str]
    """All that are defined."""
    visible: frozenset[str]
    """Those of them that other objects can name."""
    weak: frozenset[str]
    """Those of them of which the linker keeps one copy of several objects'."""
    missing: frozenset[str]
    """What other objects must define."""


def symbols(path: Path) -> Symbols:
    named = defaultdict(set)
    for line in _output("nm", str(path)):
        kind, name = line[17:].split(" ", 1)
        named[kind].add(name)
    return Symbols(
        functions=frozenset(named["t"] | named["T"] | named["W"] | named["i"]),
        visible=frozenset(named["T"] | named["W"] | named["i"]),
        weak=frozenset(named["W"]),
        missing=frozenset(named["U"] | named["w"] | named["v"]),
    )


def initializers(path: Path) -> list[str]:
    """Sections of functions that run when the object is loaded."""
    found = map(_SECTION.match, _output("objdump", "--section-headers", str(path)))
    names = [section["name"] for section in found if section]
    return [name for name in names if name.startswith((".init_array", ".preinit_array", ".ctors"))]


def named_by_code(path: Path) -> frozenset[str]:
    """Symbols that an object's instructions, and not only its data, refer to."""
    found: set[str] = set()
    in_code = False
    for line in _output("objdump", "--reloc", str(path)):
        if section := _RELOCATIONS.match(line):
            in_code = section["section"].startswith(".text")
        elif in_code and len(fields := line.split()) == 3:
            found.add(re.split(r"[+-]0x", fields[2])[0])
    return frozenset(found)


def demangled(names: frozenset[str]) -> dict[str, str]:
    """Names as people write them, by their mangled names."""
    ordered = sorted(names)
    return dict(zip(ordered, _output("c++filt", stdin="\n".join(ordered)), strict=True)) if ordered else {}


def has_binutils() -> bool:
    return all(shutil.which(tool) for tool in ("objdump", "nm", "c++filt"))


def _output(*command: str, stdin: str | None = None) -> Iterator[str]:
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=True)  # noqa: S603
    yield from result.stdout.splitlines()
