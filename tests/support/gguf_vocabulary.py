"""Small vocabularies that tokenize any text: every byte is a token, and a few common words have merges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import gguf

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = (
    int(gguf.TokenType.NORMAL),
    int(gguf.TokenType.UNKNOWN),
    int(gguf.TokenType.CONTROL),
    int(gguf.TokenType.BYTE),
)

VocabularyKind = Literal["bpe", "spm"]

WORDS = (
    " the", " and", " of", " to", " is", " in", " it", " that", " for", " you", " was", " with",
    "Hello", " hello", " world", "ing", "er", "re", " def", " return", "11", "  ", "    ", "\n\n",
)  # fmt: skip


@dataclass(frozen=True)
class TinyVocabulary:
    kind: VocabularyKind
    tokens: tuple[str, ...]
    token_types: tuple[int, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)


def byte_alphabet() -> tuple[str, ...]:
    """The printable stand-in of each byte in GPT-2's byte-level BPE, by byte value."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = iter(range(256, 512))
    return tuple(chr(byte) if byte in printable else chr(next(moved)) for byte in range(256))


def tiny_bpe(more_controls: tuple[str, ...] = ()) -> TinyVocabulary:
    """``more_controls`` are behind all others, whose ids stay the same."""
    alphabet = byte_alphabet()
    controls = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    merges: dict[str, str] = {}
    for word in WORDS:
        symbols = [alphabet[byte] for byte in word.encode()]
        left = symbols[0]
        for right in symbols[1:]:
            merges.setdefault(left + right, f"{left} {right}")
            left += right
    tokens = (*controls, *alphabet, *merges)
    types = (_CONTROL,) * len(controls) + (_NORMAL,) * (len(tokens) - len(controls))
    types += (_CONTROL,) * len(more_controls)
    return TinyVocabulary("bpe", (*tokens, *more_controls), types, (), tuple(merges.values()))


def tiny_spm() -> TinyVocabulary:
    controls = ("<unk>", "<s>", "</s>")
    byte_tokens = tuple(f"<0x{byte:02X}>" for byte in range(256))
    characters = ("▁", *(chr(code) for code in range(ord("!"), ord("~") + 1)), "é", "ã", "中")
    pieces: dict[str, None] = {}
    for word in WORDS:
        spelled = word.replace(" ", "▁")
        pieces.update((spelled[:length], None) for length in range(2, len(spelled) + 1))
    normal = tuple(dict.fromkeys((*pieces, *characters)))
    tokens = (*controls, *byte_tokens, *normal)
    types = (_UNKNOWN, _CONTROL, _CONTROL) + (_BYTE,) * 256 + (_NORMAL,) * len(normal)
    scores = (0.0,) * 259 + tuple(-float(rank) for rank in range(len(normal)))
    return TinyVocabulary("spm", tokens, types, scores, ())


def add_vocabulary(writer: gguf.GGUFWriter, vocabulary: TinyVocabulary, pre: str | None) -> None:
    writer.add_tokenizer_model("gpt2" if vocabulary.kind == "bpe" else "llama")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.token_types))
    if vocabulary.kind == "bpe":
        writer.add_token_merges(list(vocabulary.merges))
        writer.add_bos_token_id(vocabulary.tokens.index("<|im_start|>"))
        writer.add_eos_token_id(vocabulary.tokens.index("<|im_end|>"))
        writer.add_add_bos_token(False)
    else:
        writer.add_token_scores(list(vocabulary.scores))
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(True)
