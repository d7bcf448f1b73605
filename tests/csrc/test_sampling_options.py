"""Which options the samplers take, and what Mirostat keeps from draw to draw."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import _core
from protocol.sampling import SAMPLERS
from tests.csrc.sampler_reference import Options, distribution, shares, surprise


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", -1.0), ("temperature", math.nan), ("temperature", math.inf), ("top_k", -1), ("top_p", 0.0),
     ("top_p", 1.5), ("top_p", math.nan), ("min_p", -0.1), ("min_p", 1.1), ("typical_p", 0.0), ("typical_p", 1.1),
     ("repeat_penalty", 0.0), ("repeat_penalty", math.inf), ("presence_penalty", math.nan),
     ("frequency_penalty", math.inf), ("dry_multiplier", -1.0), ("dry_base", 0.9), ("dry_allowed_length", 0),
     ("dry_last_n", 0), ("xtc_probability", 1.1), ("xtc_threshold", 0.0), ("xtc_threshold", 0.6),
     ("mirostat_tau", -1.0), ("mirostat_eta", 0.0), ("logit_bias", {0: math.inf})],
)  # fmt: skip
def test_options_out_of_range_are_refused(field: str, value: object) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=rf"{field}.* must be"):
        replace(Options(), **changes).run().sample([0.0, 1.0], [], 0)


@pytest.mark.parametrize("token", [-1, 2, 2**31 - 1])
def test_tokens_that_do_not_exist_are_refused(token: int) -> None:
    with pytest.raises(ValueError, match="no logit"):
        Options(repeat_penalty=2.0).run().sample([0.0, 1.0], [token], 0)
    for options in (Options(logit_bias={token: 1.0}), Options(dry_breakers=(token,))):
        with pytest.raises(ValueError, match="tokens of the vocabulary"):
            options.run().sample([0.0, 1.0], [], 0)


def test_there_is_nothing_to_draw_without_logits() -> None:
    with pytest.raises(ValueError, match="no logits"):
        Options().run().sample([], [], 0)


def test_orders_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no sampler top_q"):
        _core.SamplingOptions(order=["top_q"])
    for options, reason in (
        (Options(order=("temperature", "temperature")), "twice"),
        (Options(top_k=3, order=("temperature",)), "top_k must be in the order"),
        (Options(temperature=0.0, order=("top_k",)), "temperature must be in the order"),
        (Options(mirostat_tau=1.0, order=("mirostat", "temperature")), "mirostat must be the last"),
        (Options(mirostat_tau=1.0, temperature=0.0), "temperature must be above 0"),
        (Options(mirostat_tau=1.0, min_p=0.1), "min_p must be off"),
    ):
        with pytest.raises(ValueError, match=reason):
            options.run().sample([0.0, 1.0], [], 0)


def test_what_is_off_need_not_be_in_the_order() -> None:
    assert Options(order=(), temperature=1.0).run().sample([0.0, 9.0], [], 0) == 1
    assert Options(order=SAMPLERS[:-1]).run().sample([0.0, 99.0], [], 0) == 1


def test_mirostat_moves_its_bound_by_the_surprise_of_what_it_drew() -> None:
    options = Options(mirostat_tau=1.5, mirostat_eta=0.3, temperature=1.3)
    run, bound = options.run(seed=5), 3.0
    random = np.random.default_rng(0)
    for position in range(200):
        logits = (random.integers(-12, 12, 30) / 4 + 0.01 * random.random(30)).tolist()
        before = shares({token: logit / 1.3 for token, logit in enumerate(logits)})
        token = run.sample(logits, [], position)
        assert token in distribution(logits, options, bound=bound)
        bound -= 0.3 * (surprise(before[token]) - 1.5)
        assert run.mirostat_bound == pytest.approx(bound, abs=1e-4)


@pytest.mark.parametrize("tau", [4.0, 6.0])
def test_mirostat_holds_the_mean_surprise_at_its_target(tau: float) -> None:
    logits = [-math.log(1 + token) for token in range(2000)]
    all_shares = shares(dict(enumerate(logits)))
    run = Options(mirostat_tau=tau).run(seed=1)
    surprises = [surprise(all_shares[run.sample(logits, [], position)]) for position in range(1000)]
    assert float(np.mean(surprises[100:])) == pytest.approx(tau, abs=0.25)
