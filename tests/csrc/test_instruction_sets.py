"""No code that runs before the processor was asked needs more of it than the x86-64 baseline.

Read from what the compiler and the linker made, since that is what runs. Units that are compiled with flags of an
instruction set define kernels and nothing else; everybody else knows these only as entries of constant tables.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.csrc.object_code import (
    beyond_baseline,
    demangled,
    has_binutils,
    initializers,
    named_by_code,
    symbols,
)
from tests.support.kernel_tables import QUANTIZERS_OF_OTHERS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
KERNEL_FOLDERS = ("avx2", "avx_vnni", "avx512", "amx")
_INSTRUCTION_FLAG = re.compile(r"-m(avx|sse|ssse|fma|f16c|bmi|amx|lzcnt|popcnt|movbe|arch=)")
_KERNEL = re.compile(rf"(void )?engine::kernels::({'|'.join(KERNEL_FOLDERS)})::")
_SCALAR_CODE = re.compile(
    r"(void )?engine::(gguf|quant|kernels)::|"
    r"((__)?mem(cpy|set|move|cmp)(_chk)?|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_)$"
)
"""What kernels may call: nothing that allocates, throws, locks or runs at start-up."""


@dataclass(frozen=True, slots=True)
class Build:
    """What one call of the compiler made of each source, and the linker of all of them."""

    extension: Path
    kernels: tuple[Path, ...]
    """Objects that are compiled with flags of an instruction set."""
    others: tuple[Path, ...]

    @classmethod
    def read(cls, folder: Path) -> Build:
        kernels: list[Path] = []
        others: list[Path] = []
        for unit in json.loads((folder / "compile_commands.json").read_text()):
            arguments = shlex.split(unit["command"])
            made = folder / arguments[arguments.index("-o") + 1]
            (kernels if any(map(_INSTRUCTION_FLAG.match, arguments)) else others).append(made)
        (extension,) = folder.glob("_core.*.so")
        return cls(extension, tuple(kernels), tuple(others))


@functools.cache
def the_build() -> Build:
    """Build of the extension that this process would load."""
    loaded = importlib.util.find_spec("engine._core")
    assert loaded is not None
    assert loaded.origin is not None
    for folder in sorted((ROOT / "build").glob("*/")):
        if (folder / "compile_commands.json").is_file() and any(folder.glob("_core.*.so")):
            build = Build.read(folder)
            if _code(build.extension) == _code(Path(loaded.origin)):
                return build
    reason = f"no build tree under {ROOT / 'build'} holds what {loaded.origin} was made of"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _code(library: Path) -> bytes:
    """The machine code, which stripping symbols leaves as it is."""
    command = ("objcopy", "--output-target=binary", "--only-section=.text", str(library), "/dev/stdout")
    return subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603


@pytest.fixture(scope="module")
def build() -> Build:
    if not has_binutils():
        assert os.environ.get("CI") != "true", "objdump, nm and c++filt are missing: install binutils"
        pytest.skip("objdump, nm and c++filt are missing: install binutils")
    return the_build()


def faults_of_kernels(unit: Path) -> list[str]:
    """What a unit with flags holds besides kernels: code that others could run without knowing."""
    found = symbols(unit)
    names = demangled(found.functions | found.missing)
    return [
        *(f"{name}: runs at start-up" for name in initializers(unit)),
        *(f"{names[one]}: the linker may take it for every other unit's copy" for one in found.weak),
        *(f"{names[one]}: is in no kernels' namespace" for one in found.visible if not _KERNEL.match(names[one])),
        *(f"{names[one]}: kernels have no use for it" for one in found.missing if not _SCALAR_CODE.match(names[one])),
    ]


def faults_of_others(unit: Path, kernels: frozenset[str]) -> list[str]:
    """What a unit without flags has of an instruction set, or runs of the kernels without a table between."""
    return [
        *(f"{one} holds {instruction!r}" for one, instruction in beyond_baseline(unit).items()),
        *(f"calls {one} directly" for one in sorted(named_by_code(unit) & kernels)),
    ]


def test_flags_are_given_to_the_kernels_folders_alone(build: Build) -> None:
    assert {unit.parent.name for unit in build.kernels} == set(KERNEL_FOLDERS)
    assert not {unit.parent.name for unit in build.others} & set(KERNEL_FOLDERS)


def test_tables_that_quantize_as_others_do_have_no_quantizers(build: Build) -> None:
    """Tests leave these tables' out."""
    own = {
        unit.parent.name
        for unit in build.kernels
        if any("::quantize_rows(" in name for name in demangled(symbols(unit).visible).values())
    }
    assert own == set(KERNEL_FOLDERS) - set(QUANTIZERS_OF_OTHERS.values())


def test_units_with_flags_define_kernels_and_nothing_else(build: Build) -> None:
    faults = {f"{unit.parent.name}/{unit.name}": faults_of_kernels(unit) for unit in build.kernels}
    assert {unit: found for unit, found in faults.items() if found} == {}


def test_units_without_flags_keep_to_the_baseline_and_know_kernels_from_tables_alone(build: Build) -> None:
    kernels = frozenset[str]().union(*(symbols(unit).visible for unit in build.kernels))
    faults = {f"{unit.parent.name}/{unit.name}": faults_of_others(unit, kernels) for unit in build.others}
    assert {unit: found for unit, found in faults.items() if found} == {}


def test_the_library_as_linked_has_instruction_sets_in_kernels_alone(build: Build) -> None:
    """Whatever was linked into it, libraries among that."""
    kernels = frozenset[str]().union(*(symbols(unit).functions for unit in build.kernels))
    found = beyond_baseline(build.extension)
    assert {name: instruction for name, instruction in found.items() if name not in kernels} == {}
    assert any(name in kernels for name in found), "not one kernel was recognised"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("namespace engine::kernels::avx2 { float kernel(float x) { return x + 1; } }", ""),
        ("float doubled(float x) { return 2 * x; }", "doubled(float): is in no kernels' namespace"),
        ("inline int doubled(int x) { return 2 * x; } auto* kept = &doubled;", "doubled(int): the linker may take it"),
        ("int first(); static int all = first();", ".init_array: runs at start-up"),
        (
            "namespace engine::kernels::avx2 { int* kernel() { return new int; } }",
            "operator new(",
        ),
    ],
)
def test_what_is_no_kernel_is_seen_in_a_unit_with_flags(source: str, fault: str, tmp_path: Path) -> None:
    faults = faults_of_kernels(compiled(source, tmp_path, "-mavx2"))
    assert any(found.startswith(fault) for found in faults) if fault else faults == []


@pytest.mark.parametrize(
    ("source", "flags", "fault"),
    [
        ("double half(double x) { return x / 2; }", (), ""),
        ("double half(double x) { return x / 2; }", ("-mavx",), "_Z4halfd holds 'v"),
        ("double half(double x) { return x / 2; }", ("-mavx512f", "-mavx512vl"), "_Z4halfd holds 'v"),
        ("int ones(unsigned x) { return __builtin_popcount(x); }", ("-mpopcnt",), "_Z4onesj holds 'popcnt"),
        ("double down(double x) { return __builtin_floor(x); }", ("-msse4.1",), "_Z4downd holds 'roundsd"),
        ("void kernel(); void run() { kernel(); }", (), "calls _Z6kernelv directly"),
        ("void kernel(); auto* table = &kernel;", (), ""),
    ],
)
def test_what_only_some_processors_have_is_seen_in_a_unit_without(
    source: str, flags: tuple[str, ...], fault: str, tmp_path: Path
) -> None:
    faults = faults_of_others(compiled(source, tmp_path, *flags), frozenset({"_Z6kernelv"}))
    assert any(found.startswith(fault) for found in faults) if fault else faults == []


def compiled(source: str, folder: Path, *flags: str) -> Path:
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or not has_binutils():
        pytest.skip("needs a C++ compiler and binutils")
    made = folder / "unit.o"
    command = (compiler, "-x", "c++", "-std=c++20", "-O2", "-fPIC", *flags, "-c", "-o", str(made), "-")
    subprocess.run(command, input=source, text=True, check=True)  # noqa: S603
    return made
