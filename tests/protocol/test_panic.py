from __future__ import annotations

import pytest

from protocol.codec import decode_client, encode
from protocol.errors import InvalidRequest
from protocol.panic import PanicError, panics_contained
from protocol.requests import Detokenize
from tests.support.panicking import panic


def test_a_panic_is_no_exception_and_becomes_one() -> None:
    with pytest.raises(BaseException, match="map") as raised:
        panic()
    assert not isinstance(raised.value, Exception)
    with pytest.raises(PanicError, match="map"):
        panics_contained(panic)()


def test_what_is_no_panic_is_let_through() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        panics_contained(interrupted)()
    assert panics_contained(divmod)(7, 2) == (3, 1)


def test_a_message_at_which_the_validator_panics_is_an_invalid_request(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = encode(Detokenize(request_id=1, model="tiny", token_ids=(1,)))
    monkeypatch.setattr(Detokenize, "model_validate", panic)
    with pytest.raises(InvalidRequest, match="Detokenize cannot be read"):
        decode_client(frame)
