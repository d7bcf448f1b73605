"""Talks to the hub through the hub's own library, which is slow to import: import this module where it is needed.

``HF_ENDPOINT`` names another hub, ``HF_TOKEN`` (or the file that ``hf auth login`` writes) who asks. The token goes to
the hub alone, never to the stores that it redirects to, into an error or into a log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

# Read when the library is imported: without it every process would first ask the hub for a list of other programs.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from huggingface_hub import HfApi, ModelInfo, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # of whichever HTTP client the library's version uses
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from engine.fetch.hub.reference import HubReference
from engine.fetch.hub.repository import HubRepository
from engine.fetch.read_ahead import Pieces
from engine.fetch.remote_file import RemoteFile
from engine.fetch.transfer import InterruptedTransferError
from engine.identity.version import ENGINE_VERSION
from protocol.errors import DownloadFailed, EngineError, InvalidRequest, UnknownModel

_HUB: Final = "https://huggingface.co"
_PROGRAM: Final = "weos-engine"
_TIMEOUT_S: Final = 10.0
"""Limit of every wait for the network."""
_TRANSIENT: Final = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d+)-")


class HubSession:
    """Blocking. Every method raises UnknownModel, where the hub has no such thing, and DownloadFailed, whose ``reason``
    is ``offline``, ``unreachable``, ``unauthorized``, ``gated``, ``refused`` or ``not_a_hub``."""

    def __init__(self) -> None:
        self._endpoint = (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
        self.host = _host(self._endpoint)
        """With its port, and without what else an endpoint may hold, such as a password."""
        self._headers = build_hf_headers(library_name=_PROGRAM, library_version=ENGINE_VERSION)
        token = self._headers.get("authorization", "")
        if not (token.isascii() and token.isprintable()):  # the HTTP client would quote it when it refuses it
            raise DownloadFailed("HF_TOKEN is not a token of the hub", reason="unauthorized")

    def look_up(self, reference: HubReference) -> HubRepository:
        """The repository as it is now, at the reference's revision."""
        try:
            with self._typed(reference):
                hub = HfApi(endpoint=self._endpoint, library_name=_PROGRAM, library_version=ENGINE_VERSION)
                info = hub.model_info(
                    reference.repository_id, revision=reference.revision, files_metadata=True, timeout=_TIMEOUT_S
                )
                return _repository(reference, info)
        except InterruptedTransferError as error:
            raise error.failure from error
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_a_hub(reference) from error

    def read(self, repository: HubRepository, file: RemoteFile, offset: int, end: int | None = None) -> Pieces:
        """The file's content from ``offset`` up to ``end`` (``None``: the file's), or all of it where the hub will have
        it so: pieces, each with its position.

        Raises:
            InterruptedTransferError: the connection broke, or the hub asks to come back.
        """
        reference = repository.reference
        url = hf_hub_url(reference.repository_id, file.path, revision=repository.commit, endpoint=self._endpoint)
        headers = {**self._headers, "Accept-Encoding": "identity"}
        if offset or end is not None:
            headers["Range"] = f"bytes={offset}-{'' if end is None else end - 1}"
        with (
            self._typed(reference),
            get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_S) as response,
        ):
            hf_raise_for_status(response)
            position = 0
            if response.status_code == 206:
                found = _RANGE.match(response.headers.get("Content-Range", ""))
                position = int(found[1]) if found else offset
            for piece in response.iter_bytes():
                yield position, piece
                position += len(piece)

    @contextmanager
    def _typed(self, reference: HubReference) -> Iterator[None]:
        try:
            yield
        except OfflineModeIsEnabled as error:
            raise self._failure(
                reference, "offline", "HF_HUB_OFFLINE forbids to ask the hub. Unset it and pull again"
            ) from error
        except HfHubHTTPError as error:
            raise self._refusal(reference, error) from error
        except HTTPError as error:
            raise InterruptedTransferError(
                self._failure(
                    reference,
                    "unreachable",
                    f"{self.host} cannot be reached: {str(error) or type(error).__name__}. Check the network, "
                    "HTTPS_PROXY and HF_ENDPOINT, and pull again: the incomplete file is kept. Or put the file into "
                    "the models directory yourself",
                )
            ) from error

    def _refusal(self, reference: HubReference, error: HfHubHTTPError) -> EngineError | InterruptedTransferError:
        name, host = reference.name, self.host
        status = error.response.status_code
        match error:
            case GatedRepoError():
                return self._failure(
                    reference,
                    "gated",
                    f"{name} is given only to those who have accepted its terms. Accept them at "
                    f"{_HUB}/{reference.repository_id} and put a token of that account into the engine's HF_TOKEN",
                )
            case RepositoryNotFoundError():
                return UnknownModel(
                    f"{host} has no repository {reference.repository_id}, or it is private: then the engine's HF_TOKEN "
                    "needs a token that may read it",
                    model=name,
                )
            case RevisionNotFoundError():
                return UnknownModel(f"{reference.repository_id} has no revision {reference.revision!r}", model=name)
            case RemoteEntryNotFoundError():
                return UnknownModel(f"{name} is no longer there", model=name)
        if status in _TRANSIENT:
            return InterruptedTransferError(
                self._failure(
                    reference,
                    "refused",
                    f"{host} answers {status} for {name}. Pull later: the incomplete file is kept",
                )
            )
        if status in (401, 403):
            return self._failure(
                reference,
                "unauthorized",
                f"{host} answers {status} for {name}: the engine's HF_TOKEN is not a token that may read it",
            )
        return self._failure(reference, "refused", f"{host} answers {status} for {name}")

    def _not_a_hub(self, reference: HubReference) -> DownloadFailed:
        return self._failure(
            reference,
            "not_a_hub",
            f"what answers at {self.host} is no model hub. Check HF_ENDPOINT and the network",
        )

    def _failure(self, reference: HubReference, reason: str, message: str) -> DownloadFailed:
        return DownloadFailed(message, model=reference.name, reason=reason)


def _host(endpoint: str) -> str:
    try:
        url = urlsplit(endpoint)
        host = url.hostname if url.port is None else f"{url.hostname}:{url.port}"
    except ValueError:
        host = None
    if host is None or url.scheme not in ("http", "https"):
        raise DownloadFailed("HF_ENDPOINT is not the address of a hub, such as https://HOST", reason="not_a_hub")
    return host


def _repository(reference: HubReference, info: ModelInfo) -> HubRepository:
    """Raises KeyError, TypeError, ValueError where the answer is none that a hub gives."""
    if not info.sha or info.siblings is None:
        raise ValueError("no commit, or no list of files")
    same = info.id.lower() == reference.repository_id.lower()
    owner, repository = info.id.split("/") if same else (reference.owner, reference.repository)
    files: dict[str, RemoteFile] = {}
    for sibling in info.siblings:
        size = sibling.size if sibling.lfs is None else sibling.lfs.size
        checksum = f"git:{sibling.blob_id}" if sibling.lfs is None else f"sha256:{sibling.lfs.sha256}"
        if size is not None and checksum != "git:None" and _is_pullable(reference, sibling.rfilename):
            files[sibling.rfilename] = RemoteFile(sibling.rfilename, size, checksum)
    return HubRepository(HubReference(owner, repository, reference.revision), info.sha, files)


def _is_pullable(reference: HubReference, path: str) -> bool:
    """A GGUF whose path the engine can give a place."""
    try:
        HubReference(reference.owner, reference.repository, None, path)
    except InvalidRequest:
        return False
    return True
