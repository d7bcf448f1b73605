"""ik_llama.cpp as a peer: the fastest of its settings counts, and it is asked for what it can do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.support.ik_llama_cpp import VARIABLE, IkLlamaCpp, ik_program
from engine.bench.work import decode, decode_side_by_side, prefill

FAKE = """#!{python}
import json, sys
from pathlib import Path
options = sys.argv[1:]
with Path(__file__).with_name("asked").open("a") as asked:
    asked.write(" ".join(options) + "\\n")
flash, repack = (options[options.index(name) + 1] for name in ("-fa", "-rtr"))
rate = {{"00": 10, "01": 40, "10": 20, "11": 30}}[flash + repack]
print(json.dumps([{{"samples_ts": [rate - 1, rate, rate + 5]}}]))
"""


def make_program(folder: Path, text: str = FAKE) -> Path:
    program = folder / "llama-bench"
    program.write_text(text.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o700)
    return program


def asked_of(program: Path) -> list[str]:
    return program.with_name("asked").read_text(encoding="utf-8").splitlines()


def test_the_fastest_of_its_settings_counts_and_is_kept(tmp_path: Path) -> None:
    program = make_program(tmp_path)
    peer = IkLlamaCpp(program, Path("model.gguf"), 2)
    work = prefill(256, repetitions=3)
    assert peer.rate(work) == 40
    assert peer.setting(work) == "flash attention off, repacking on"
    assert len(asked_of(program)) == 4
    assert peer.rate(work) == 40
    assert asked_of(program)[4:] == ["-m model.gguf -t 2 -o json -fa 0 -rtr 1 -p 256 -n 0 -r 3"]


def test_decoding_behind_a_prompt_does_not_count_the_prompt(tmp_path: Path) -> None:
    program = make_program(tmp_path)
    peer = IkLlamaCpp(program, Path("model.gguf"), 2)
    peer.rate(decode(128))
    peer.rate(decode(32, depth=4096))
    alone, *_, behind = asked_of(program)
    assert alone.endswith("-p 0 -n 128 -r 1")
    assert behind.endswith("-p 0 -n 0 -gp 4096,32 -r 1")


def test_it_computes_one_sequence_at_a_time() -> None:
    assert IkLlamaCpp.takes(decode(128))
    assert not IkLlamaCpp.takes(decode_side_by_side(16, 32))


def test_its_own_words_are_told_where_it_fails(tmp_path: Path) -> None:
    program = make_program(tmp_path, "#!/bin/sh\necho 'unknown type' >&2\nexit 3\n")
    with pytest.raises(RuntimeError, match="ended with 3: unknown type"):
        IkLlamaCpp(program, Path("model.gguf"), 2).rate(decode(128))


def test_the_user_names_the_program(tmp_path: Path) -> None:
    program = make_program(tmp_path)
    assert ik_program({VARIABLE: str(program)}) == program
    assert ik_program({}) is None
    assert ik_program({VARIABLE: ""}) is None


@pytest.mark.parametrize("named", ["", "missing"])
def test_what_is_no_program_is_refused(tmp_path: Path, named: str) -> None:
    with pytest.raises(FileNotFoundError, match="is no program"):
        ik_program({VARIABLE: str(tmp_path / named)})
