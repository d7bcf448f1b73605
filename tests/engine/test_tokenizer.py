from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers.pre_tokenizers import Sequence, Split

from engine import _core
from engine.text.pre_tokenizers import FAMILIES, PRE_TOKENIZERS
from engine.text.text_pieces import pieces
from engine.text.tokenizer import Tokenizer
from protocol.errors import InvalidModel, InvalidRequest, UnsupportedModel
from tests.support.gguf_factory import new_gguf, write_tiny_model
from tests.support.gguf_vocabulary import TinyVocabulary, add_vocabulary, tiny_bpe, tiny_spm


def make_tokenizer(directory: Path, **options: object) -> Tokenizer:
    path = write_tiny_model(directory / "tiny.gguf", weights=False, **options)
    return Tokenizer(_core.GgufFile(str(path)))


def write_keys(path: Path, write: Callable[[gguf.GGUFWriter], None]) -> _core.GgufFile:
    with new_gguf(path, "llama") as writer:
        write(writer)
    return _core.GgufFile(str(path))


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="module")
def bpe_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tokenizer]:
    """The tokenizer of each family, made when first asked for."""
    return cache(lambda pre: make_tokenizer(tmp_path_factory.mktemp("family"), pre=pre))


@pytest.fixture(scope="module")
def spm(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("spm"), vocabulary="spm", pre=None)


@given(st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bpe_gives_back_any_text(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text)) == text


@given(st.text(max_size=200), st.integers(1, 50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_has_fewer_tokens_than_it_is_said_to_have(
    bpe: Tokenizer, spm: Tokenizer, text: str, times: int
) -> None:
    for tokenizer in (bpe, spm):
        for each in (text * times, " " * len(text) * times, "<|im_end|>" * times):
            assert tokenizer.least_tokens(each) <= len(tokenizer.encode(each, add_special=False, parse_special=True))
    assert bpe.least_tokens("the " * 100_000) > 10_000


@pytest.mark.parametrize("pre", [names[0] for names in FAMILIES.values()])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    text=st.text(st.sampled_from("aB1! \n\t'\u00e9\u00a0\u4e2d\u0301/"), max_size=60),
    characters=st.integers(1, 20),
)
def test_pieces_of_a_text_are_tokenized_as_the_whole(
    bpe_of: Callable[[str], Tokenizer], spm: Tokenizer, pre: str, text: str, characters: int
) -> None:
    for tokenizer in (bpe_of(pre), spm):
        whole = tokenizer.encode(text)
        with pytest.MonkeyPatch.context() as patch:
            for module in ("bpe", "spm"):
                patch.setattr(f"engine.text.{module}.pieces", partial(pieces, characters=characters))
            assert tokenizer.encode(text) == whole


def test_a_vocabulary_that_leaves_out_bytes_tells_of_no_tokens(tmp_path: Path) -> None:
    def write(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("llama")
        writer.add_token_list(["<unk>", "<s>", "</s>", "a"])
        writer.add_token_scores([0.0] * 4)

    tokenizer = Tokenizer(write_keys(tmp_path / "few.gguf", write))
    assert tokenizer.encode("b" * 1000, add_special=False) == []
    assert tokenizer.least_tokens("b" * 1000) == 0


@pytest.mark.parametrize("pre", [names[0] for names in FAMILIES.values()])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=st.text(max_size=100))
def test_every_family_gives_back_any_text(bpe_of: Callable[[str], Tokenizer], pre: str, text: str) -> None:
    tokenizer = bpe_of(pre)
    assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text


@given(st.text(st.characters(exclude_characters="▁", exclude_categories=["Cs"]), max_size=200))
def test_spm_gives_back_any_text(spm: Tokenizer, text: str) -> None:
    assert spm.decode(spm.encode(text, add_special=False)).removeprefix(" ") == text.removeprefix(" ")


def test_merges_apply_best_first(bpe: Tokenizer) -> None:
    vocabulary = tiny_bpe()
    ids = [vocabulary.tokens.index(token) for token in ("Hello", "Ġworld", "!", "1", "1")]
    assert bpe.encode("Hello world!11") == ids


def test_spelled_control_tokens_are_text_unless_asked_for(bpe: Tokenizer) -> None:
    assert len(bpe.encode("<|im_end|>")) > 1
    assert bpe.encode("<|im_end|>", parse_special=True) == [tiny_bpe().tokens.index("<|im_end|>")]


def test_control_tokens_print_nothing_but_have_a_name(bpe: Tokenizer) -> None:
    (token_id,) = bpe.encode("<|im_end|>", parse_special=True)
    assert bpe.decode([token_id]) == ""
    assert bpe.piece(token_id) == "<|im_end|>"


def test_every_token_that_ends_a_generation_is_an_end(bpe: Tokenizer, spm: Tokenizer) -> None:
    tokens = tiny_bpe().tokens
    assert bpe.eos_token_ids == (tokens.index("<|endoftext|>"), tokens.index("<|im_end|>"))
    assert spm.eos_token_ids == (2,)


def test_spm_begins_with_bos_and_a_space(spm: Tokenizer) -> None:
    tokens = tiny_spm().tokens
    assert spm.encode("the") == [1, tokens.index("▁the")]
    assert spm.encode("the", add_special=False) == [tokens.index("▁the")]


def test_spm_puts_a_space_after_every_special_token(spm: Tokenizer) -> None:
    the = tiny_spm().tokens.index("▁the")
    assert spm.encode("the</s>the", add_special=False, parse_special=True) == [the, 2, the]


def test_an_empty_text_is_bos_at_most(bpe: Tokenizer, spm: Tokenizer) -> None:
    assert bpe.encode("") == []
    assert spm.encode("") == [1]


def test_ill_formed_bytes_become_replacement_characters(bpe: Tokenizer) -> None:
    assert bpe.decode(bpe.encode("é")[:1]) == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("token_id", [-1, 10_000])
def test_ids_outside_the_vocabulary_are_refused(bpe: Tokenizer, token_id: int) -> None:
    with pytest.raises(InvalidRequest, match=f"no token {token_id}"):
        bpe.decode([token_id])
    with pytest.raises(InvalidRequest, match=f"no token {token_id}"):
        bpe.piece(token_id)


def test_surrogates_are_refused(bpe: Tokenizer) -> None:
    with pytest.raises(InvalidRequest, match="not Unicode"):
        bpe.encode("\ud800")


def test_llama3_begins_with_bos_and_takes_whole_words(tmp_path: Path) -> None:
    tokens, types = ("<s>", "a", "b", "c", "bc", "abc"), (3, 1, 1, 1, 1, 1)
    vocabulary = TinyVocabulary("bpe", tokens, types, (), ("b c",))

    def write(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("llama-bpe")
        writer.add_token_list(list(vocabulary.tokens))
        writer.add_token_types(list(vocabulary.token_types))
        writer.add_token_merges(list(vocabulary.merges))
        writer.add_bos_token_id(0)

    tokenizer = Tokenizer(write_keys(tmp_path / "llama3.gguf", write))
    assert tokenizer.encode("abc") == [0, 5]  # no merges lead to it, yet the whole word is a token
    assert tokenizer.encode("ab") == [0, 1, 2]


def test_a_byte_without_token_is_dropped_and_still_parts_its_neighbours(tmp_path: Path) -> None:
    vocabulary = TinyVocabulary("bpe", ("a", "b", "ab"), (1, 1, 1), (), ("a b",))

    def write(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(list(vocabulary.tokens))
        writer.add_token_merges(list(vocabulary.merges))

    tokenizer = Tokenizer(write_keys(tmp_path / "few-bytes.gguf", write))
    assert tokenizer.encode("ab") == [2]
    assert tokenizer.encode("a\x00b") == [0, 1]


@pytest.mark.parametrize("add_bos", [None, True, False])
def test_gemma_4_merges_characters_and_begins_with_bos_whatever_the_file_says(
    add_bos: bool | None, tmp_path: Path
) -> None:
    tokens = ("<bos>", "</s>", "<|tool_response>", "<0xC3>", "<0xA9>", "a", "▁", "\n", "▁a", "\n\n")

    def write(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gemma4")
        writer.add_token_list(list(tokens))
        writer.add_token_types([3, 1, 4, 6, 6, 1, 1, 1, 1, 1])
        writer.add_token_merges(["▁ a", "\n \n"])
        writer.add_bos_token_id(0)
        if add_bos is not None:
            writer.add_add_bos_token(add_bos)

    tokenizer = Tokenizer(write_keys(tmp_path / "gemma4.gguf", write))
    ids = tokenizer.encode("a a\n\né", parse_special=True)
    assert [tokens[token] for token in ids] == ["<bos>", "a", "▁a", "\n\n", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(ids) == "a a\n\né"
    assert tokenizer.eos_token_ids == (tokens.index("<|tool_response>"),)  # </s> is a tag of HTML there
    assert tokenizer.decode(tokenizer.encode(" a", add_special=False)) == " a"


@pytest.mark.parametrize(
    ("pre", "text", "words"),
    [
        ("gpt-2", "It's 1234", ["It", "'s", " 1234"]),
        ("smollm", "It's 1234", ["It", "'s", " ", "1", "2", "3", "4"]),
        ("llama-bpe", "IT'S 12345(x)", ["IT", "'S", " ", "123", "45", "(x", ")"]),
        ("qwen2", "IT'S 12", ["IT", "'S", " ", "1", "2"]),
        ("qwen35", "e\u0301t\u0301", ["e\u0301t\u0301"]),
        ("qwen2", "e\u0301t\u0301", ["e", "\u0301t", "\u0301"]),
        ("tekken", "camelCase HTTPServer12", ["camel", "Case", " HTTPServer", "1", "2"]),
        ("tekken", "МоскваГород", ["Москва", "Город"]),
        ("gpt-4o", "camelCase's 1234/\n", ["camel", "Case's", " ", "123", "4", "/\n"]),
        ("falcon", "a`b 1234", ["a", "`", "b", " ", "123", "4"]),
        ("default", "a+b 1234", ["a", "+", "b", " ", "123", "4"]),
        ("deepseek-llm", "ne 中文 12\n", ["ne", " ", "中文", " ", "12", "\n"]),
        ("deepseek-coder", "a-b 12\n", ["a", "-", "b", " ", "1", "2", "\n"]),
        ("deepseek-v3", "1234ひら漢.foo", ["123", "4", "ひら漢", ".foo"]),
    ],
)
def test_each_family_cuts_words_in_its_own_way(pre: str, text: str, words: list[str]) -> None:
    assert [text[begin:end] for begin, end in cut_into_words(pre, text)] == words


def cut_into_words(pre: str, text: str) -> list[tuple[int, int]]:
    splits = [Split(Regex(expression), behavior="isolated") for expression in PRE_TOKENIZERS[pre].expressions]
    return [span for _, span in Sequence(splits).pre_tokenize_str(text)]


def test_white_space_behind_a_special_token_goes_with_it_in_phi_3(tmp_path: Path) -> None:
    def write(writer: gguf.GGUFWriter) -> None:
        writer.add_name("Phi-3 mini")
        add_vocabulary(writer, tiny_spm(), None)

    tokenizer = Tokenizer(write_keys(tmp_path / "phi3.gguf", write))
    the = tiny_spm().tokens.index("▁the")
    assert tokenizer.encode("</s> \n the", add_special=False, parse_special=True) == [2, the]
    assert len(tokenizer.encode("<s> the", add_special=False, parse_special=True)) > 2


def test_a_missing_pre_is_the_default_one(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, pre=None)
    assert tokenizer.decode(tokenizer.encode("Hello, world 1234")) == "Hello, world 1234"


def test_an_unknown_pre_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="'kimi-k2'") as refusal:
        make_tokenizer(tmp_path, pre="kimi-k2")
    assert "qwen2" in refusal.value.params["allowed"]


@pytest.mark.parametrize(("model", "kind"), [("t5", "UGM"), ("rwkv", "RWKV"), ("plamo2", "")])
def test_another_kind_of_tokenizer_is_refused_by_name(model: str, kind: str, tmp_path: Path) -> None:
    file = write_keys(tmp_path / "other.gguf", lambda writer: writer.add_tokenizer_model(model))
    with pytest.raises(UnsupportedModel, match=f"'{model}'") as refusal:
        Tokenizer(file)
    assert kind in refusal.value.message


def test_a_file_without_vocabulary_is_refused_by_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"tokenizer\.ggml\.model is missing"):
        Tokenizer(write_keys(tmp_path / "empty.gguf", lambda writer: None))


def test_a_token_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = TinyVocabulary("bpe", ("a", "b", "a"), (1, 1, 1), (), ())

    def write(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(list(twice.tokens))
        writer.add_token_merges(["a b"])

    with pytest.raises(InvalidModel, match="twice"):
        Tokenizer(write_keys(tmp_path / "twice.gguf", write))


def test_merges_of_symbols_that_are_no_tokens_are_refused(tmp_path: Path) -> None:
    def write(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(["a", "b"])
        writer.add_token_merges(["a b"])

    with pytest.raises(InvalidModel, match="merges"):
        Tokenizer(write_keys(tmp_path / "merges.gguf", write))


def test_a_bos_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    def write(writer: gguf.GGUFWriter) -> None:
        add_vocabulary(writer, tiny_bpe(), None)
        writer.add_eot_token_id(100_000)

    with pytest.raises(InvalidModel, match="eot_token_id is 100000"):
        Tokenizer(write_keys(tmp_path / "eot.gguf", write))
