"""A file at a web address, read from any position."""

from __future__ import annotations

import re
from http.client import HTTPException, HTTPResponse
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from engine.fetch.transfer import InterruptedTransferError, Pieces
from engine.identity.version import ENGINE_VERSION
from protocol.errors import DownloadFailed

_TIMEOUT_S: Final = 10.0
"""Limit of every wait for the network."""
_PIECE_BYTES: Final = 1 << 16
_TRANSIENT: Final = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class WebFile:
    """Proxies and certificates are those of the environment (``HTTPS_PROXY``, ``SSL_CERT_FILE``). Blocking."""

    def __init__(self, url: str) -> None:
        """``http:`` or ``https:``."""
        self._url = url
        self._host = urlsplit(url).hostname or ""
        self._version: str | None = None
        """The file's, as the server names it: what has arrived of one is of no use to another."""

    def read(self, offset: int) -> Pieces:
        """From ``offset``, or from 0 where the server gives the whole file or has another one by now.

        Raises:
            InterruptedTransferError: it cannot be reached, the connection broke, or the server asks to come back.
            DownloadFailed: the server refuses; ``reason`` is ``refused``.
        """
        try:
            with self._open(offset) as response:
                self._version = _version(response)
                found = _RANGE.match(response.headers.get("Content-Range", "")) if response.status == 206 else None
                position = int(found[1]) if found else 0
                while piece := response.read(_PIECE_BYTES):
                    yield position, piece
                    position += len(piece)
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

    def _open(self, offset: int) -> HTTPResponse:
        request = Request(self._url)  # noqa: S310  a web address
        request.add_header("Accept-Encoding", "identity")
        request.add_header("User-Agent", f"weos-engine/{ENGINE_VERSION}")
        if offset:
            request.add_header("Range", f"bytes={offset}-")
            if self._version is not None:
                request.add_header("If-Range", self._version)
        response: HTTPResponse = urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
        return response


def _version(response: HTTPResponse) -> str | None:
    """A strong entity tag: a weak one does not tell bytes from bytes."""
    tag = response.headers.get("ETag")
    return tag if tag is not None and tag.startswith('"') else None
