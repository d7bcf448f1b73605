"""What the hub offers of a model."""

from __future__ import annotations

from functools import partial

from engine.fetch.hub.reference import HubReference
from engine.fetch.hub.session import HubSession
from engine.fetch.offer import Offer
from engine.fetch.remote_file import RemoteFile
from protocol.errors import DownloadFailed


def hub_offer(reference: HubReference) -> Offer:
    """The model that a reference means, as the hub has it now. Blocking.

    Raises:
        UnknownModel: the hub has no such repository, revision or file.
        AmbiguousModel: the repository holds several models, and the reference does not tell which.
        DownloadFailed: the hub cannot be reached, or refuses.
    """
    session = HubSession()
    repository = session.look_up(reference)
    chosen, files = repository.choose(reference)

    def senseless(file: RemoteFile) -> DownloadFailed:
        return DownloadFailed(
            f"{session.host} does not send the {file.size_bytes} bytes of {file.path}",
            model=chosen.name,
            reason="not_a_hub",
        )

    return Offer(chosen.name, chosen.directory, files, partial(session.read, repository), senseless)
