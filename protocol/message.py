"""The bases of what crosses the socket: requests, which know the types of their answers, and answers.

Every request carries a ``request_id`` of the client's choice, unique among those in flight on its connection, and
every answer carries that of its request. Messages are made without one, and numbered on their way to the wire.
"""

from __future__ import annotations

from types import GenericAlias
from typing import Annotated, Any, Generic, TypeVar, cast, get_args

from pydantic import ConfigDict, Field
from typing_extensions import Self, get_original_bases

from protocol.value import Value

RequestId = Annotated[int, Field(ge=0, le=2**63 - 1)]
UNNUMBERED = -1
"""No id on the wire: a message that has this one from there came without any."""


def _require_id(schema: dict[str, Any]) -> None:
    del schema["properties"]["request_id"]["default"]
    schema["required"] = ["request_id", *schema.get("required", ())]


class Numbered(Value):
    """A message that belongs to one request. On the wire its id is never left out."""

    model_config = ConfigDict(json_schema_extra=_require_id)

    request_id: RequestId = UNNUMBERED

    def numbered(self, request_id: int) -> Self:
        """The same message under this id, which is not validated."""
        return self.model_copy(update={"request_id": request_id})


class Answer(Numbered):
    """A reply. It is its request's last, unless its class is an :class:`InterimAnswer`."""


class InterimAnswer(Answer):
    """A reply that others to the same request follow."""


AnswerT = TypeVar("AnswerT", bound=Answer)
InterimT = TypeVar("InterimT", bound=InterimAnswer)
AnswerT_co = TypeVar("AnswerT_co", bound=Answer, covariant=True)
InterimT_co = TypeVar("InterimT_co", bound=InterimAnswer, covariant=True)


class Request(Numbered, Generic[AnswerT_co]):
    """What a client asks; answered by one ``AnswerT_co``, or by a ``Failed``."""

    @classmethod
    def answer_type(cls) -> type[AnswerT_co]:
        """The class of the last answer."""
        return cast("type[AnswerT_co]", cls._answer_types()[-1])

    @classmethod
    def _answer_types(cls) -> tuple[type[Answer], ...]:
        """The type arguments that the class was derived with."""
        (base,) = get_original_bases(cls)
        return get_args(base)

    def __class_getitem__(
        cls, arguments: Any
    ) -> Any:  # pydantic would make a model of each, and every start wait for it
        return GenericAlias(cls, arguments)


class StreamRequest(Request[AnswerT_co], Generic[InterimT_co, AnswerT_co]):
    """What a client asks that is answered by any number of ``InterimT_co`` before its ``AnswerT_co``."""

    @classmethod
    def reply_types(cls) -> type[InterimT_co | AnswerT_co]:
        """The union of all classes of its replies, for ``isinstance``."""
        interim, answer = cls._answer_types()
        return cast("type[InterimT_co | AnswerT_co]", interim | answer)
