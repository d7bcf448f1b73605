"""The search space, as it is read from the engine's schema."""

from __future__ import annotations

import pytest

from protocol.errors import InvalidRequest
from protocol.schema import published_schema
from tests.tools.executions import make_plan
from weos_agents.search_fields import SearchField, chosen_fields, search_fields

HERE = ("backend:cpu_avx2", "backend:reference", "kv_cache:f16", "kv_cache:q8_0", "quantization:native")
PLAN = make_plan().model_dump(mode="json")


def found(*, with_bits: bool) -> dict[str, SearchField]:
    fields = search_fields(published_schema("plan"), PLAN, HERE, with_bits=with_bits)
    return {field.name: field for field in fields}


def test_values_are_those_of_this_machine() -> None:
    fields = found(with_bits=True)
    assert fields["backend"].values == ("cpu_avx2", "reference")
    assert fields["threads"].values == tuple(range(1, PLAN["threads"] + 1))
    assert fields["kv_cache"].values == ("f16", "q8_0")
    assert "quantization" not in fields, "one value is no choice"


def test_ranges_have_steps_and_the_usual_value() -> None:
    chunks = found(with_bits=False)["batch.prefill_chunk"]
    assert chunks.values == (1, 4, 16, 64, 256, 1024, 4096)
    assert chunks.request_field == "execution.prefill_chunk"
    assert PLAN["spin_us"] in found(with_bits=False)["spin_us"].values


def test_what_changes_bits_is_sought_only_where_asked_for() -> None:
    assert all(field.same_bits for field in found(with_bits=False).values())
    assert {name for name, field in found(with_bits=True).items() if not field.same_bits} == {"kv_cache"}


def test_what_other_traffic_alone_would_show_is_left_out() -> None:
    assert not {"prefix_cache", "batch.max_sequences", "batch.prefill_beside_decode"} & found(with_bits=True).keys()


def test_fields_may_be_named() -> None:
    fields = tuple(found(with_bits=False).values())
    assert [field.name for field in chosen_fields(fields, ("threads",))] == ["threads"]
    with pytest.raises(InvalidRequest, match="seed cannot be varied here; there is backend"):
        chosen_fields(fields, ("seed",))
