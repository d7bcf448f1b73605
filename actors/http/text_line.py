"""An execution's line to a client of HTTP: once it is open, the core writes its texts past the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.host.client_socket import ClientSocket
from protocol.answers import Accepted
from protocol.dialects.event_stream import TextEvent


class TextLine:
    """Opened by the translation of its tokens, as soon as all further texts become the same but for themselves."""

    def __init__(self, client_socket: ClientSocket, accepted: Accepted) -> None:
        self._client_socket = client_socket
        self._execution_id = accepted.execution_id
        self._choices = accepted.plan.n
        self._told = False

    def passed_on(self, texts_of: Callable[[], Sequence[TextEvent]]) -> None:
        """One message of tokens has been written. ``texts_of``: what further texts become, by choice; perhaps none."""
        if not self._told:
            texts = texts_of()
            self._told = len(texts) == self._choices
            if self._told:
                self._client_socket.tell_texts(self._execution_id, [(one.before, one.behind) for one in texts])
        self._client_socket.mark_posted(self._execution_id)
