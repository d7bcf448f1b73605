"""The first minutes on an empty machine: what takes a person to an answer, a chat, and the answer of an OpenAI client.

    .venv/bin/python -m benchmarks.first_minutes dist/weos-engine_…_amd64.deb       # as root, with debootstrap
    .venv/bin/python -m benchmarks.first_minutes dist/weos_engine-…-cp311-….whl     # the same by pipx

A clean root of Debian 12 is the machine, with Debian's lists of packages; the client, a program of its user, is there
before it is counted. Bytes are those that this machine's network received meanwhile, so that nothing else should use
it, and the package's own.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.packages.clean_root import CleanRoot

MODEL = "smollm2-135m-instruct"
HOME = "/home/somebody"
ASKED = "Why is the sky blue?"
CLIENT = f"""
from openai import OpenAI
client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="none", max_retries=20)  # the engine may yet be starting
asked = [{{"role": "user", "content": "{ASKED}"}}]
print(client.chat.completions.create(model="{MODEL}", messages=asked, max_tokens=32).choices[0].message.content)
"""
MAKE_CLIENT = f"""
apt-get -qq install --yes --no-install-recommends python3-venv >/dev/null 2>&1
python3 -m venv {HOME}/client
{HOME}/client/bin/python -m pip --quiet install openai
"""
SERVE = "engine-ctl serve --http 127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Step:
    """Commands that a person types, and what comes of them."""

    goal: str
    typed: tuple[str, ...]
    user: str = "somebody"
    script: str = ""
    """Runs in place of ``typed``: the same commands, and what a person does besides."""


INSTALL_DEBIAN = (Step("installed", ("apt install --yes /srv/{package}",), "root"),)
INSTALL_PIPX = (
    Step("pipx", ("apt install --yes --no-install-recommends pipx",), "root"),
    Step("installed", ("pipx ensurepath", "pipx install --pip-args=--no-compile /srv/{package}")),
)
USE = (
    Step("an answer", (f"engine-ctl run {MODEL} '{ASKED}' --pull --max-tokens 32",)),
    Step(
        "a chat of two turns",
        (f"engine-ctl chat {MODEL}",),
        script=f"printf 'Hello.\\nWho are you?\\n' | engine-ctl chat {MODEL} --max-tokens 32",
    ),
    Step(
        "an OpenAI client's answer",
        (SERVE,),
        script=f"""
            {SERVE} 2>log & engine=$!
            {HOME}/client/bin/python /srv/client.py
            engine-ctl shutdown; wait $engine
        """,
    ),
)


@dataclass(slots=True)
class Spent:
    """Time and bytes since the machine was empty."""

    commands: int = 0
    cpu_s: float = 0.0
    clock_s: float = 0.0
    received_mb: float = 0.0


def main() -> None:
    """Print a table row for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    package = parser.parse_args().package
    with tempfile.TemporaryDirectory(prefix="engine-") as made:
        root = CleanRoot(Path(made) / "root")
        shutil.copy(package, root.folder / "srv")
        (root.folder / "srv" / "client.py").write_text(CLIENT, encoding="utf-8")
        root.run("useradd --create-home --uid 1000 somebody; apt-get -qq update")
        empty_mb = megabytes(root.folder)
        spent = Spent(received_mb=package.stat().st_size / 1e6)
        print("| from nothing to | commands | CPU s | s | received MB | on the disk MB |\n|---|---|---|---|---|---|")
        for step in (*(INSTALL_DEBIAN if package.suffix == ".deb" else INSTALL_PIPX), *USE):
            if SERVE in step.typed:
                before = megabytes(root.folder)
                root.run(MAKE_CLIENT)
                empty_mb += megabytes(root.folder) - before
            take(root, step, package.name, spent)
            figures = f"{spent.cpu_s:.1f} | {spent.clock_s:.0f} | {spent.received_mb:.0f}"
            grown = megabytes(root.folder) - empty_mb
            print(f"| {step.goal} | {spent.commands} | {figures} | {grown:.0f} |", flush=True)


def take(root: CleanRoot, step: Step, package: str, spent: Spent) -> None:
    """Run it, and count what it took."""
    places = {"HOME": HOME, "XDG_RUNTIME_DIR": HOME, "PATH": f"{HOME}/.local/bin:/usr/bin:/bin"}
    script = step.script or "\n".join(step.typed).format(package=package)
    received, begun, before = received_bytes(), time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    root.run(script if step.user == "root" else f"cd; {script}", step.user, **({} if step.user == "root" else places))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent.commands += len(step.typed)
    spent.cpu_s += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spent.clock_s += time.monotonic() - begun
    spent.received_mb += (received_bytes() - received) / 1e6


def received_bytes() -> int:
    """Bytes that all network interfaces but the loopback received."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]
    counts = {line.partition(":")[0].strip(): int(line.partition(":")[2].split()[0]) for line in lines}
    return sum(count for name, count in counts.items() if name != "lo")


def megabytes(folder: Path) -> float:
    """Room of its files on the disk, in 10⁶ bytes."""
    told = subprocess.run(("du", "--summarize", "--block-size=1", folder), capture_output=True, text=True, check=True)
    return int(told.stdout.split()[0]) / 1e6


if __name__ == "__main__":
    main()
