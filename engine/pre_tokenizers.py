"""How BPE vocabularies cut text into words before merging: one row for each ``tokenizer.ggml.pre``.

Each expression is applied in turn inside the pieces that the one before it left; matches and gaps are both pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_THREE_DIGITS = "[0-9][0-9][0-9]"


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    expressions: tuple[str, ...]
    ignore_merges: bool = False
    """A word that is a token as a whole is taken, whatever the merges would make of it."""
    add_bos: bool = False
    """Where ``tokenizer.ggml.add_bos_token`` is absent."""


_GPT2_ONLY = PreTokenizer((_GPT2,))
_SINGLE_DIGITS = PreTokenizer((r"\p{N}", _GPT2))
_LLAMA3_BPE = PreTokenizer((_LLAMA3 % r"\p{N}{1,3}",), ignore_merges=True, add_bos=True)
_QWEN2 = PreTokenizer((_LLAMA3 % r"\p{N}",))

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    "default": PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", _THREE_DIGITS)),
    "falcon": PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, _THREE_DIGITS)),
    "gpt-2": _GPT2_ONLY,
    "llama-bpe": _LLAMA3_BPE,
    "llama-v3": _LLAMA3_BPE,
    "llama3": _LLAMA3_BPE,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "smollm": _SINGLE_DIGITS,
    "starcoder": _SINGLE_DIGITS,
}
