"""From documents to shards: what is read, what is left out, and that the engine cuts text into the same tokens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slm.corpus.demonstration import demonstration
from slm.corpus.division import divide
from slm.corpus.documents import Document, Turn, read_documents
from slm.corpus.prepared_data import PreparedData, prepare
from slm.corpus.shards import open_shards, write_shards
from slm.errors import SlmError
from slm.training.batches import Batches

STORY = "Once upon a time, <|endoftext|> stood in 2024's text. Olá, wörld! \n\n  Twice."


def test_a_folder_of_text_and_jsonl_is_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.md").write_text("first")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / ".hidden").write_text("never")
    lines = [
        {"text": "third", "topic": "none"},
        {"text": "what is pci 8086:100e", "next_action": "driver e1000"},
        {"messages": [{"role": "user", "content": "Hello"}]},
    ]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert list(read_documents(tmp_path)) == [
        Document("first"),
        Document("second"),
        Document("third"),
        Document(turns=(Turn("user", "what is pci 8086:100e"), Turn("assistant", "driver e1000"))),
        Document(turns=(Turn("user", "Hello"),)),
    ]


@pytest.mark.parametrize("line", ['{"txt": "a"}', "not JSON", '{"messages": [{"role": "robot", "content": "x"}]}'])
def test_a_line_that_is_no_document_is_told_by_its_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"text": "one"}}\n{line}\n')
    with pytest.raises(SlmError, match=r"data\.jsonl:2"):
        list(read_documents(path))


def test_what_is_there_twice_is_left_out_and_nothing_held_out_is_trained_with() -> None:
    texts = [Document(f"text {number}") for number in range(50)]
    twice = [*texts, Document("TEXT  7\n"), Document("  "), Document("held")]
    division = divide(twice, [Document("Held")], 0.1, seed=0)
    assert (division.training, division.held_out) == (tuple(texts), (Document("Held"),))
    assert division.duplicates == 2


def test_a_document_stays_on_its_side_when_others_come() -> None:
    texts = [Document(f"text {number}") for number in range(200)]
    few, many = (divide(texts[:count], None, 0.2, seed=1) for count in (100, 200))
    assert set(few.held_out) == set(many.held_out) & set(texts[:100])
    assert 20 < len(many.held_out) < 60


def test_conversations_are_for_training_alone() -> None:
    division = divide(demonstration(3, 300), None, 0.5, seed=0)
    assert not any(document.turns for document in division.held_out)
    assert any(document.turns for document in division.training)


def test_text_that_spells_a_control_token_is_text(data: PreparedData) -> None:
    vocabulary = data.vocabulary
    ids = vocabulary.encode(STORY)
    assert vocabulary.end_of_text not in ids
    assert sum(vocabulary.byte_lengths[one] for one in ids) == len(STORY.encode())


def test_the_same_seed_writes_the_same_shards(tmp_path: Path) -> None:
    made = [
        prepare(divide(demonstration(5, 90), None, 0.1, seed=5), tmp_path / name, "demonstration", 5, 300)
        for name in ("one", "two")
    ]
    assert made[0] == made[1]
    with pytest.raises(SlmError, match="there already"):
        prepare(divide(demonstration(5, 90), None, 0.1, seed=5), tmp_path / "one", "demonstration", 5, 300)


def test_the_training_text_comes_back_from_the_shards(data: PreparedData) -> None:
    found = data.training_bytes().decode()
    documents = divide(demonstration(0, 600), None, 0.05, seed=0).training
    assert all(document.text in found for document in documents if document.text)


def test_shards_are_cut_anywhere_and_found_damaged(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [[1, 2, 3], [4, 5], [6, 7, 8, 9]], tokens_each=4)
    assert [one.tolist() for one in open_shards(tmp_path, shards)] == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    (tmp_path / shards[1].name).write_bytes(b"\0\0")
    with pytest.raises(SlmError, match="prepare the data again"):
        open_shards(tmp_path, shards)


def test_batches_depend_on_seed_and_step_alone_and_reach_every_place() -> None:
    shards = [
        np.arange(0, 20, dtype=np.uint16),
        np.arange(100, 104, dtype=np.uint16),
        np.arange(200, 206, dtype=np.uint16),
    ]
    batches = Batches(shards, 64, 4, seed=3)
    assert (batches.at(7) == Batches(shards, 64, 4, seed=3).at(7)).all()
    assert (batches.at(7) != batches.at(8)).any()
    rows = np.concatenate([batches.at(step) for step in range(8)])
    assert (np.diff(rows) == 1).all()
    assert set(rows[:, 0]) == {*range(16), 200, 201}
    with pytest.raises(SlmError, match="prepare more text"):
        Batches(shards, 1, 20, seed=0)
