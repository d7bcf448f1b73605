"""What reads bytes that others wrote, each with well-formed examples and the refusals it may answer with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h11
import msgpack
from pydantic import ValidationError

from actors.http.request_target import RequestTarget
from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.content_hash import ContentHashes
from engine.planning.grammar_rules import plan_grammar
from engine.text.tokenizer import Tokenizer
from engine.weights.importance import ImportanceError, read_importance
from engine.weights.weights_cache import DerivedWeightsKey, WeightsCache
from protocol.chat import ChatMessage
from protocol.codec import decode_client, decode_engine
from protocol.dialects.openai.chat import ChatRequest, to_run_request
from protocol.dialects.shape import parse_json, read
from protocol.errors import InvalidRequest, InvalidTemplate, ProtocolViolation, RequestRefused, UnknownMessage
from protocol.framing import FrameDecoder, encode_frame
from protocol.grammar import Grammar, GrammarKind
from protocol.record_entry import ENTRY, FinishedEntry
from tests.engine.chat_reference import rendering
from tests.support import gguf_bytes as g
from tests.support.gguf_factory import CHATML
from tests.support.importance_files import binary_importance
from tests.support.split_models import SplitModel
from tests.tools.executions import make_record

_TEXT = "Hello, a b ab é中\n\n<|im_end|> <bos> \u2581"


_TOOL_TEMPLATE = b"""{%- set ns = namespace(found=false, text='') -%}
{%- if tools %}{{- '<tools>' + (tools | tojson(indent=2)) + '</tools>' }}{% endif -%}
{%- macro turn(role, content) %}{{ '<|' ~ role ~ '|>' }}{{ content | trim | replace('\n\n', '\n') }}{% endmacro -%}
{%- for message in messages[::-1] if message.role != 'tool' %}
    {%- if loop.first or message['tool_calls'] is defined %}{% set ns.found = loop.index0 * 2 %}{% endif -%}
    {{- turn(message.role, message.content.split('{{')[-1].upper()) }}{{ loop.length }}
{%- else %}{{ raise_exception('no messages') }}{%- endfor %}
{{- bos_token ~ ns.found ~ ('x' * 3) ~ [1, 2, 3] | join(', ') ~ {'a': 1}.items() | list }}"""


@dataclass(frozen=True)
class Parser:
    examples: Callable[[Path], Sequence[bytes]]
    """Makes the examples, in a folder."""
    read: Callable[[bytes, Path], None]
    """Raises one of the refusals or nothing. The folder is the same for all."""
    refusals: tuple[type[Exception], ...]
    head_bytes: int | None = None
    """Size of the head, in which most changes are made."""


def _models(folder: Path) -> list[bytes]:
    least = g.ModelBytes()
    experts = least.having(**{"llama.expert_count": g.u32(2), "llama.expert_used_count": g.u32(1)})
    for name, rows, columns in (("gate", 32, 16), ("up", 32, 16), ("down", 16, 32)):
        experts = experts.lacking(f"blk.0.ffn_{name}.weight").with_tensor(
            g.Tensor(f"blk.0.ffn_{name}_exps.weight", (columns, rows, 2), data=bytes(4 * 2 * rows * columns))
        )
    experts = experts.with_tensor(g.float_tensor("blk.0.ffn_gate_inp.weight", 2, 16))
    return [model.write(folder / "model.gguf").read_bytes() for model in (least, experts)]


def _read_model(content: bytes, folder: Path) -> None:
    path = folder / "model.gguf"
    path.write_bytes(content)
    _read_all_of(path)
    model = _core.Model.load(str(path), "reference", 1)
    model.logits([[0, 1, 2]], prefill_chunk=4)


def _read_all_of(path: Path) -> None:
    file = _core.GgufFile(str(path))
    for key in file.keys():  # noqa: SIM118  a GgufFile is no mapping
        file.get(key)
        file.array_info(key)
    artifact = ModelArtifact("model", path, file, ContentHashes(path.with_name("hashes.json")))
    with suppress(RequestRefused):  # it may still load
        artifact.facts()
        artifact.derived("q8_0")


def _split_models(folder: Path) -> list[bytes]:
    """The three parts one behind the other, each behind its length."""
    first = SplitModel().write(folder)
    parts = [first.with_name(first.name.replace("00001-", f"0000{number}-")).read_bytes() for number in (1, 2, 3)]
    return [b"".join(len(part).to_bytes(4, "little") + part for part in parts)]


def _read_split_model(content: bytes, folder: Path) -> None:
    for number in (1, 2, 3):
        length = int.from_bytes(content[:4], "little")
        (folder / f"split-0000{number}-of-00003.gguf").write_bytes(content[4 : 4 + length])
        content = content[4 + length :]
    _read_all_of(folder / "split-00001-of-00003.gguf")
    _core.Model.load(str(folder / "split-00001-of-00003.gguf"), "reference", 1).logits([[0, 1]])


def _vocabularies(folder: Path) -> list[bytes]:
    letters = ["<bos>", "<|im_end|>", *"abé▁\n", "Ġa", "ab", "\n\n", "<0xC3>", "<0xA9>"]
    types = [3, 3, *[1] * (len(letters) - 4), 6, 6]
    common = [("tokenizer.ggml.tokens", g.texts(letters)), ("tokenizer.ggml.token_type", g.array(g.I32, types))]
    common += [("tokenizer.ggml.bos_token_id", g.u32(0)), ("tokenizer.ggml.eos_token_id", g.u32(1))]
    merges = [("tokenizer.ggml.merges", g.texts(["a b", "\n \n"]))]
    scores = [("tokenizer.ggml.scores", g.array(g.F32, [-float(rank) for rank in range(len(letters))]))]
    kinds = {
        "gpt2": [*merges, ("tokenizer.ggml.pre", g.text("qwen2"))],
        "gemma4": merges,
        "llama": scores,
    }
    return [g.GgufBytes([("tokenizer.ggml.model", g.text(kind)), *common, *own]).build() for kind, own in kinds.items()]


def _read_vocabulary(content: bytes, folder: Path) -> None:
    path = folder / "vocabulary.gguf"
    path.write_bytes(content)
    tokenizer = Tokenizer(_core.GgufFile(str(path)))
    for special in (False, True):
        ids = tokenizer.encode(_TEXT, special, special)
        tokenizer.decode(ids)
        for token_id in ids:
            tokenizer.piece(token_id)


def _read_template(content: bytes, folder: Path) -> None:
    said = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Olá {{ x }}")]
    tools: list[dict[str, Any]] | None = [{"name": "f", "parameters": {}}] if b"tools" in content else None
    rendering(content.decode(errors="surrogateescape"), said, "<s>", "</s>", tools)


def _messages(folder: Path) -> list[bytes]:
    run = {"model": "tiny", "prompt": "Olá", "execution": {"limits": {"max_tokens": 3, "max_watts": 25.0}}}
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "execution": {"stop": {"strings": ["a"]}}}
    contents: list[dict[str, Any]] = [{"type": "Run", "request_id": 7, "request": request} for request in (run, chat)]
    contents += [
        {"type": "Tokenize", "request_id": 1, "model": "m", "text": "abc"},
        {"type": "Detokenize", "request_id": 1, "model": "m", "token_ids": [1, 2, 3]},
        {"type": "Failed", "request_id": None, "code": "bad_frame", "message": "no", "params": {"a": [1.5, None]}},
        {"type": "Tokens", "request_id": 1, "execution_id": "e", "token_ids": [1, 2**31], "text": "é"},
    ]
    packed: list[bytes] = [msgpack.packb(content) for content in contents]
    return packed


def _read_message(content: bytes, folder: Path) -> None:
    try:
        decode_engine(content)
    except (ProtocolViolation, UnknownMessage, InvalidRequest):
        decode_client(content)


def _read_frames(content: bytes, folder: Path) -> None:
    decoder = FrameDecoder(max_frame_bytes=1 << 16)
    for begin in range(0, len(content), 7):
        decoder.feed(content[begin : begin + 7])


def _read_importance(content: bytes, folder: Path) -> None:
    path = folder / "importance.dat"
    path.write_bytes(content)
    read_importance(path)


def _grammars(folder: Path) -> list[bytes]:
    return [
        b'root ::= "{" ws (pair ("," pair)*)? "}"\npair ::= [a-z]+ ":" [0-9]{1,3}\nws ::= [ \\t\\n]*\n',
        'root ::= "\\u00e9" | [^\\x00-\\x1F] "é"? # a comment\n'.encode(),
    ]


def _read_grammar(kind: GrammarKind) -> Callable[[bytes, Path], None]:
    def read_grammar(content: bytes, folder: Path) -> None:
        plan_grammar(Grammar(kind=kind, source=content.decode(errors="replace")))

    return read_grammar


def _schemas(folder: Path) -> list[bytes]:
    schemas: list[dict[str, Any]] = [
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/d"}, "b": {"enum": [1, "x"]}},
            "patternProperties": {"^c": {"type": "null"}},
            "required": ["a"],
            "$defs": {"d": {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {}, "maxItems": 3}]}},
        },
        {"type": "array", "prefixItems": [{"type": "integer", "minimum": -(2**64), "exclusiveMaximum": 2**70}]},
        {"type": "string", "pattern": "^[a-f]{2,}$"},
    ]
    return [json.dumps(schema).encode() for schema in schemas]


def _entries(folder: Path) -> list[bytes]:
    moment = "2026-01-31T12:00:00.000000Z"
    finished = FinishedEntry(sequence=1, started_at=None, recorded_at=moment, record=make_record())
    return [ENTRY.dump_json(finished)]


def _read_entry(content: bytes, folder: Path) -> None:
    ENTRY.validate_json(content)


def _bodies(folder: Path) -> list[bytes]:
    said = {"role": "user", "content": [{"type": "text", "text": "é"}]}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    called = {"messages": [said, {"role": "assistant", "tool_calls": [call]}], "tools": [tool], "temperature": 0.5}
    held = {"messages": [said], "response_format": {"type": "json_object"}, "stop": ["a"], "n": 2}
    return [json.dumps({"model": "m", **body}).encode() for body in (called, held)]


def _read_body(content: bytes, folder: Path) -> None:
    to_run_request(read(ChatRequest, parse_json(content)), "m")


def _manifest_key() -> DerivedWeightsKey:
    return DerivedWeightsKey(content_hash="sha256:0", recipe="q8_0", importance=None, quantizer=1)


def _manifests(folder: Path) -> list[bytes]:
    told = {"key": asdict(_manifest_key()), "model": "tiny", "size_bytes": 3, "digest": "sha256:1"}
    return [json.dumps(told).encode(), json.dumps({**told, "made_at": [1.5, None]}, indent=1).encode()]


def _read_manifest(content: bytes, folder: Path) -> None:
    (folder / f"{_manifest_key().name}.json").write_bytes(content)
    cache = WeightsCache(folder, 1 << 30)
    if not cache.entries():
        raise ValueError("it is as if there were none")


def _heads(folder: Path) -> list[bytes]:
    body = b"Content-Length: 3\r\n\r\nabc"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    lines = (b"POST /v1/completions?a=b%20c", b"GET http://host:1/%C3%A9?x", b"OPTIONS *")
    return [line + b" HTTP/1.1\r\nHost: e\r\n" + rest for line in lines for rest in (body, chunks)]


def _read_head(content: bytes, folder: Path) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=32_768)
    if content:  # nothing is the end of a connection, which h11 tells of for ever
        connection.receive_data(content)
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.Request):
            RequestTarget.parse(event.target)


_FILE_REFUSALS = (
    RequestRefused,
    _core.GgufError,
    _core.NonFiniteResultError,
    _core.UnsupportedModelError,
    OSError,
    MemoryError,
)

PARSERS: dict[str, Parser] = {
    "model file": Parser(_models, _read_model, _FILE_REFUSALS, head_bytes=2000),
    "split model": Parser(_split_models, _read_split_model, _FILE_REFUSALS),
    "vocabulary": Parser(_vocabularies, _read_vocabulary, (RequestRefused, _core.GgufError, MemoryError)),
    "chat template": Parser(lambda _: [CHATML.encode(), _TOOL_TEMPLATE], _read_template, (InvalidTemplate,)),
    "message": Parser(_messages, _read_message, (ProtocolViolation, UnknownMessage, InvalidRequest)),
    "frames": Parser(
        lambda _: [b"".join(map(encode_frame, (b"abc", b"", b"x" * 300)))], _read_frames, (ProtocolViolation,)
    ),
    "grammar": Parser(_grammars, _read_grammar("gbnf"), (RequestRefused,)),
    "schema": Parser(_schemas, _read_grammar("json_schema"), (RequestRefused,)),
    "record entry": Parser(_entries, _read_entry, (ValidationError,)),
    "body": Parser(_bodies, _read_body, (InvalidRequest,)),
    "cache manifest": Parser(_manifests, _read_manifest, (ValueError,)),
    "request head": Parser(_heads, _read_head, (h11.RemoteProtocolError, ValueError)),
    "importance matrix": Parser(
        lambda _: [binary_importance((b"a.weight", 3, [1.0, 2.0]), (b"b.weight", 3, [0.0] * 9))],
        _read_importance,
        (ImportanceError,),
    ),
}
