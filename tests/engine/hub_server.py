"""A hub on 127.0.0.1 that stands in for the real one: repositories in memory, and what goes wrong as a test asks for.

It speaks what the hub's own library asks: what a repository holds, and ranges of files behind a redirect."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.support.local_server import LocalHandler, LocalServer

COMMIT = "c0ffee" + "0" * 34
_API = re.compile(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^/?]+))?(?:\?.*)?")
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)")
_STORE = re.compile(r"/store/(.+)")
_PIECE_BYTES = 16 * 1024


@dataclass
class HubRequest:
    path: str
    range: str | None
    authorization: str | None


@dataclass
class Repository:
    files: dict[str, bytes]
    token: str | None = None
    """Token without which the repository stays hidden."""
    gated: bool = False
    revisions: tuple[str, ...] = ("main",)
    in_git: tuple[str, ...] = ()
    """Files that are no LFS objects."""
    checksums: dict[str, str] = field(default_factory=dict)
    """False ones, by file."""
    sizes: dict[str, int] = field(default_factory=dict)
    """False ones, by file."""


@dataclass
class Mishaps:
    """What is to go wrong; all of it ends by itself where it has a count."""

    cut_after: list[int] = field(default_factory=list)
    """Bytes of each of the next answers, after which the connection breaks."""
    statuses: list[int] = field(default_factory=list)
    """Statuses that replace the next answers to a request for a file."""
    ignore_ranges: bool = False
    answer: bytes | None = None
    """Web page that answers every request."""
    hold_after: int | None = None
    """Bytes after which an answer stands still until :attr:`may_go_on`."""
    may_go_on: threading.Event = field(default_factory=threading.Event)


class HubServer(LocalServer):
    """Serves until the end of the context."""

    def __init__(self) -> None:
        super().__init__(_HubHandler, _StoreHandler)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[HubRequest] = []
        self.mishaps = Mishaps()
        self.sent: Counter[str] = Counter()
        """Bytes of each file's content that were sent."""

    @property
    def endpoint(self) -> str:
        return self.origin()

    @property
    def store(self) -> str:
        """Address of the store, on another origin than the hub: no token may be sent there."""
        return self.origin(1)

    def ranges(self) -> list[str | None]:
        """Ranges that the store was asked for, in order."""
        return [request.range for request in self.requests if request.path.startswith("/store/")]

    def __exit__(self, *ended: object) -> None:
        self.mishaps.may_go_on.set()
        super().__exit__(*ended)


class _Handler(LocalHandler[HubServer]):
    def get(self) -> None:
        self.owner.requests.append(HubRequest(self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if self.owner.mishaps.answer is not None:
            self.answer(200, self.owner.mishaps.answer, {"Content-Type": "text/html"})
        else:
            self.respond()

    @abstractmethod
    def respond(self) -> None:
        """What this server has at the path."""

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, headers={"X-Error-Code": code, "X-Error-Message": "no"})


class _HubHandler(_Handler):
    def respond(self) -> None:
        if found := _API.fullmatch(self.path):
            self._describe(found[1], unquote(found[2] or "main"))
        elif found := _RESOLVE.fullmatch(self.path):
            self._redirect(found[1], unquote(found[3]))
        else:
            self.answer(404)

    def _describe(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        if revision not in repository.revisions:
            self.refuse(404, "RevisionNotFound")
            return
        spelled = next(one for one in self.owner.repositories if one.lower() == name.lower())
        siblings = [_sibling(repository, path, content) for path, content in repository.files.items()]
        body = {"id": spelled, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}
        self.answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _redirect(self, name: str, path: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        if self.owner.mishaps.statuses:
            self.answer(self.owner.mishaps.statuses.pop(0))
        elif path not in repository.files:
            self.refuse(404, "EntryNotFound")
        else:
            self.answer(302, headers={"Location": f"{self.owner.store}/store/{name}/{path}?signature=secret"})

    def _repository(self, name: str) -> Repository | None:
        """``None`` where the answer has been given."""
        repository = next((one for key, one in self.owner.repositories.items() if key.lower() == name.lower()), None)
        allowed = repository is not None and repository.token in (
            None,
            self.headers.get("Authorization", "").removeprefix("Bearer "),
        )
        if repository is None or not allowed:
            self.refuse(401, "RepoNotFound")
            return None
        if repository.gated:
            self.refuse(403, "GatedRepo")
            return None
        return repository


class _StoreHandler(_Handler):
    def respond(self) -> None:
        found = _STORE.fullmatch(self.path.partition("?")[0])
        owner, name, path = unquote(found[1] if found else "//").split("/", 2)
        content = self.owner.repositories[f"{owner}/{name}"].files[path]
        wanted = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        first = int(wanted) if wanted and not self.owner.mishaps.ignore_ranges else 0
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self._send(path, content[first:])

    def _send(self, path: str, content: bytes) -> None:
        mishaps = self.owner.mishaps
        end = mishaps.cut_after.pop(0) if mishaps.cut_after else len(content)
        for begin in range(0, end, _PIECE_BYTES):
            if mishaps.hold_after is not None and begin >= mishaps.hold_after:
                mishaps.may_go_on.wait()
            piece = content[begin : min(begin + _PIECE_BYTES, end)]
            self.owner.sent[path] += len(piece)  # counted first: the client may be done before the write returns
            self.wfile.write(piece)
        if end < len(content):
            self.close_connection = True


def _sibling(repository: Repository, path: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    size = repository.sizes.get(path, len(content))
    sibling: dict[str, Any] = {"rfilename": path, "size": size, "blobId": repository.checksums.get(path, blob)}
    if path not in repository.in_git:
        checksum = repository.checksums.get(path) or hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"sha256": checksum, "size": size, "pointerSize": 134}
    return sibling
