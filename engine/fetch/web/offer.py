"""What a web server offers of a model."""

from __future__ import annotations

import hashlib
from typing import Final

from engine.fetch.offer import Offer
from engine.fetch.read_ahead import Pieces
from engine.fetch.remote_file import RemoteFile
from engine.fetch.transfer import InterruptedTransferError
from engine.fetch.web.file import WebFile
from engine.fetch.web.reference import WebReference
from protocol.errors import DownloadFailed, UnknownModel

_MAGIC: Final = b"GGUF"


def web_offer(reference: WebReference) -> Offer:
    """The model at an address, as its server has it now. Blocking.

    Raises:
        UnknownModel: there is nothing at the address.
        DownloadFailed: the server cannot be reached, refuses, or does not say how large the file is.
    """
    web = WebFile(reference.name)
    try:
        size, version = web.look_up()
    except InterruptedTransferError as interruption:
        raise _failure(reference, interruption.failure) from interruption
    except DownloadFailed as failure:
        if failure.params.get("status") in (404, 410):
            raise UnknownModel(f"there is nothing at {reference.name}", model=reference.name) from failure
        raise _failure(reference, failure) from failure
    told = hashlib.sha256((version or reference.name).encode()).hexdigest()
    checksum = f"version:{told}" if reference.sha256 is None else f"sha256:{reference.sha256}"

    def read(_: RemoteFile, offset: int, end: int | None) -> Pieces:
        for position, piece in web.read(offset, end):
            if position == 0 and not piece.startswith(_MAGIC):
                raise DownloadFailed(
                    f"what is at {reference.name} is not a GGUF file", model=reference.name, reason="not_a_model"
                )
            yield position, piece

    def senseless(file: RemoteFile) -> DownloadFailed:
        return DownloadFailed(
            f"{reference.authority} does not send the {file.size_bytes} bytes of {reference.name}",
            model=reference.name,
            reason="incomplete",
        )

    file = RemoteFile(reference.place.name, size, checksum)
    return Offer(reference.name, reference.place.parent, (file,), read, senseless)


def _failure(reference: WebReference, failure: DownloadFailed) -> DownloadFailed:
    return DownloadFailed(failure.message, model=reference.name, reason=failure.params["reason"])
