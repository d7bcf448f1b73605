"""Wheels of the engine, one for each Python, and of its clients: ``build_wheels.py --into dist python3.10 python3.13``.

The core knows nothing of Python and is compiled once; only what Python imports is compiled for each.
Wants the environment of ``packaging/requirements.txt`` first on PATH.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import tomli

ROOT = Path(__file__).parents[2]
CORES = ROOT / "build" / "core"
"""A folder for each compiler."""
ROOMS = ROOT / "build" / "wheel"
"""A folder for each Python: its environment, its build, and the wheel before it is checked."""
ZIG = Path(__file__).with_name("zig-c++")
SUPPORTED = [f"python3.{minor}" for minor in range(10, 15)]
TELL_HEADERS = "import sysconfig; print(sysconfig.get_path('include'), sysconfig.get_config_var('MULTIARCH'))"
TELL = "import sys; assert sys.implementation.name == 'cpython'; print('cp%d%d' % sys.version_info[:2])"


def main() -> None:
    """Build what the arguments name; stdout names each wheel and what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", help="programs, by name or path; all that PATH has if none is named")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="where wheels go")
    parser.add_argument("--compiler", default=str(ZIG), help="a C++ compiler in place of zig's")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    os.environ.pop("CMAKE_CXX_COMPILER_LAUNCHER", None)  # a cache of objects knows the script's text, not zig's version
    arguments.into.mkdir(parents=True, exist_ok=True)
    pythons = tagged_pythons(arguments.pythons or SUPPORTED, all_wanted=bool(arguments.pythons))
    core = build_core(arguments.compiler)
    for tag, python in pythons.items():
        begun = time.monotonic()
        wheel = build_wheel(tag, python, core, arguments.compiler, arguments.into)
        print(f"{wheel.name}: {time.monotonic() - begun:.0f} s", flush=True)
    print(build_client_wheel(next(iter(pythons.values())), arguments.into).name)


def tagged_pythons(names: Sequence[str], *, all_wanted: bool) -> dict[str, str]:
    """Programs by the tag of their wheels. A name that does not start is passed over, unless all are wanted."""
    found: dict[str, str] = {}
    for name in names:
        try:
            told = subprocess.run([name, "-c", TELL], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            if all_wanted:
                sys.exit(f"{name} is no CPython that starts: {error}")
            print(f"{name} is not here")
            continue
        found.setdefault(told.stdout.strip(), name)
    if not found:
        sys.exit("no Python was found; name one")
    return found


def build_core(compiler: str) -> Path:
    """The folder of a ``libcore.a``, which was built without Python."""
    core = CORES / Path(compiler).name
    options = {"CMAKE_BUILD_TYPE": "Release", "CMAKE_CXX_COMPILER": compiler, "ENGINE_CORE_ALONE": "ON"}
    given = [f"-D{name}={value}" for name, value in options.items()]
    run("cmake", "-G", "Ninja", "-S", ".", "-B", str(core), *given)
    run("cmake", "--build", str(core))
    return core


def build_wheel(tag: str, python: str, core: Path, compiler: str, into: Path) -> Path:
    """A wheel that auditwheel has found to need no other library than a Linux has, in ``into``."""
    room = ROOMS / tag
    headers = [f"-isystem {folder}" for folder in headers_by_machine(python, room)]
    options = {
        "cmake.define.CMAKE_CXX_FLAGS": " ".join(headers),
        "cmake.define.CMAKE_CXX_COMPILER": compiler,
        "cmake.define.ENGINE_CORE": str(core),
        "cmake.define.ENGINE_PORTABLE": "ON",
        "build-dir": str(room / core.name),
    }
    raw = pip_wheel(python, room, ROOT, [f"--config-settings={name}={value}" for name, value in options.items()])
    for earlier in into.glob(f"weos_engine-*-{tag}-*.whl"):
        earlier.unlink()
    run("auditwheel", "repair", "--wheel-dir", str(into), str(raw))
    return next(into.glob(f"weos_engine-*-{tag}-*.whl"))


def headers_by_machine(python: str, room: Path) -> list[Path]:
    """A folder with what Debian's headers of Python include from beside them, ``<x86_64-linux-gnu/python3.11/…>``.

    They lie in ``/usr/include``, where a compiler with a C library of its own may not look: the system's is there too.
    """
    told = subprocess.run([python, "-c", TELL_HEADERS], capture_output=True, text=True, check=True)
    include, machine = told.stdout.split()
    beside = Path(include).parent / machine / Path(include).name
    if not beside.is_dir():
        return []
    link = room / "headers" / machine / beside.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(beside)
    return [room / "headers"]


def build_client_wheel(python: str, into: Path) -> Path:
    """The wheel of ``weos-client``, of pure Python."""
    room = ROOMS / "client"
    run(sys.executable, str(ROOT / "packaging" / "client" / "make_tree.py"), str(room / "tree"))
    wheel = pip_wheel(python, room, room / "tree", [])
    for earlier in into.glob("weos_client-*.whl"):
        earlier.unlink()
    return Path(shutil.copy(wheel, into))


def pip_wheel(python: str, room: Path, source: Path, settings: Sequence[str]) -> Path:
    """The wheel that pip makes of a source tree, in an environment of that Python in ``room``.

    It builds without isolation: paths stay valid, so that the next build compiles what has changed and no more.
    """
    environment = room / "venv"
    run(python, "-m", "venv", str(environment))
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    project = tomli.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    run(*pip, "install", *project["build-system"]["requires"])
    made = room / "made"
    shutil.rmtree(made, ignore_errors=True)
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", *settings, "--wheel-dir", str(made), str(source))
    return next(made.glob("*.whl"))


def run(*command: str) -> None:
    """Run to its end. What it prints is shown if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(command)}: exit code {done.returncode}")


if __name__ == "__main__":
    main()
