"""A file at a web address, read from any position."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from engine.fetch.read_ahead import Pieces
from engine.fetch.transfer import InterruptedTransferError
from engine.identity.version import ENGINE_VERSION
from protocol.errors import DownloadFailed

_TIMEOUT_S: Final = 10.0
"""Limit of every wait for the network."""
_PIECE_BYTES: Final = 1 << 16
_TRANSIENT: Final = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class WebFile:
    """Proxies and certificates are those of the environment (``HTTPS_PROXY``, ``SSL_CERT_FILE``). Blocking."""

    def __init__(self, url: str, accept: str = "*/*") -> None:
        """``http:`` or ``https:``; ``accept`` is the media type to ask for."""
        self._url = url
        self._accept = accept
        self._host = urlsplit(url).hostname or ""
        self._version: str | None = None
        """The file's, as the server names it: what has arrived of one is of no use to another."""

    def read(self, offset: int, end: int | None = None) -> Pieces:
        """From ``offset`` up to ``end`` or, with ``None``, the file's; from 0 and all of it where the server gives the
        whole file or has another one by now.

        Raises:
            InterruptedTransferError: it cannot be reached, the connection broke, or the server asks to come back.
            DownloadFailed: the server refuses; ``reason`` is ``refused``.
        """
        with self._typed(), self._open(offset, end) as response:
            self._version = _version(response)
            found = _RANGE.match(response.headers.get("Content-Range", "")) if response.status == 206 else None
            position = int(found[1]) if found else 0
            while piece := response.read(_PIECE_BYTES):
                yield position, piece
                position += len(piece)

    def look_up(self) -> tuple[int, str | None]:
        """The file's size in bytes and the server's name for its version, if it has one.

        Raises:
            InterruptedTransferError, DownloadFailed: see :meth:`read`; ``reason`` is also ``no_size``.
        """
        # Not HEAD: an address may be signed for GET alone.
        with self._typed(), self._open(0) as response:
            size = response.headers.get("Content-Length", "")
            if not (size.isascii() and size.isdigit() and int(size) > 0):
                raise DownloadFailed(f"{self._host} does not say how large the file is", reason="no_size")
            return int(size), _version(response) or response.headers.get("Last-Modified")

    def document(self, most_bytes: int) -> bytes:
        """All of a small file.

        Raises:
            InterruptedTransferError, DownloadFailed: see :meth:`read`; ``reason`` is also ``too_large``.
        """
        with self._typed(), self._open(0) as response:
            content = response.read(most_bytes + 1)
            if len(content) > most_bytes:
                raise DownloadFailed(f"{self._host} sends more than {most_bytes} bytes", reason="too_large")
            return content

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except HTTPError as error:
            error.close()
            refusal = DownloadFailed(f"{self._host} answers {error.code}", reason="refused", status=error.code)
            if error.code in _TRANSIENT:
                raise InterruptedTransferError(refusal) from error
            raise refusal from error
        # Timeouts, TLS and urllib's own errors among them; what stores the pieces does not run in here.
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise InterruptedTransferError(
                DownloadFailed(f"{self._host} cannot be reached: {reason}", reason="unreachable")
            ) from error

    def _open(self, offset: int, end: int | None = None) -> HTTPResponse:
        request = Request(self._url)  # noqa: S310  a web address
        request.add_header("Accept", self._accept)
        request.add_header("Accept-Encoding", "identity")
        request.add_header("User-Agent", f"weos-engine/{ENGINE_VERSION}")
        if offset or end is not None:
            request.add_header("Range", f"bytes={offset}-{'' if end is None else end - 1}")
            if self._version is not None:
                request.add_header("If-Range", self._version)
        response: HTTPResponse = urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
        return response


def _version(response: HTTPResponse) -> str | None:
    """A strong entity tag: a weak one does not tell bytes from bytes."""
    tag = response.headers.get("ETag")
    return tag if tag is not None and tag.startswith('"') else None
