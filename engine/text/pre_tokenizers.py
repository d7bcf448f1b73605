"""How BPE vocabularies cut text into words before merging: one row for each ``tokenizer.ggml.pre``.

Each expression is applied in turn inside the pieces that the one before it left; matches and gaps are both pieces. The
expressions are those of the models' own tokenizers: docs/tokenizers.md says where llama.cpp cuts otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WHITE_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_THREE_DIGITS = "[0-9][0-9][0-9]"

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"

# Words take along the one character before them. %s: a number.
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _WHITE_SPACE
_QWEN35 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + _WHITE_SPACE

# Words end before a capital that follows a small letter. %s: the words, and a number.
_CAPITAL, _SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CAPITALIZED = rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITAL}*{_SMALL}+"
_CAPITALS = rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITAL}+{_SMALL}*"
_BY_CASE = r"%s|%s|%s| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _WHITE_SPACE

_DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    + _WHITE_SPACE,
)
_LETTERS_WITH_CASE = (
    "A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
    "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
    "\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_DEEPSEEK_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK_LLM = (
    r"[\r\n]",
    rf"\s?[{_LETTERS_WITH_CASE}]+",
    r"\s?[!-/:-~" + "\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    r"\s+$",
    _DEEPSEEK_CJK,
    r"\p{N}+",
)


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """How a text is cut before byte pairs are merged."""

    expressions: tuple[str, ...]
    ignore_merges: bool = False
    """A word that is a token as a whole is taken, whatever the merges would make of it."""
    add_bos: bool = False
    """Where ``tokenizer.ggml.add_bos_token`` is absent."""
    characters: bool = False
    """Tokens spell characters as they are, a space as ``▁``, and not bytes in GPT-2's alphabet."""


_LLAMA3_THREE_DIGITS = (_LLAMA3 % r"\p{N}{1,3}",)
_BY_CASE_AND_CONTRACTIONS = (
    _BY_CASE % (f"{_CAPITALIZED}{_CONTRACTIONS}?", f"{_CAPITALS}{_CONTRACTIONS}?", r"\p{N}{1,3}"),
)

FAMILIES: dict[PreTokenizer, tuple[str, ...]] = {
    PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", _THREE_DIGITS)): ("default",),
    PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, _THREE_DIGITS)): ("falcon",),
    PreTokenizer((_GPT2,)): (
        "gpt-2", "phi-2", "olmo", "mpt", "jais", "exaone4", "gigachat", "a.x-4.0", "mellum", "trillion",
        "granite-docling",
    ),
    PreTokenizer((r"\p{N}", _GPT2)): (
        "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2",
    ),
    PreTokenizer(_LLAMA3_THREE_DIGITS, ignore_merges=True, add_bos=True): (
        "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "midm-2.0",
    ),
    PreTokenizer(_LLAMA3_THREE_DIGITS, ignore_merges=True): ("glm4", "glm5"),
    PreTokenizer(_LLAMA3_THREE_DIGITS): ("dbrx", "smaug-bpe", "chatglm-bpe"),
    PreTokenizer((_LLAMA3 % r"\p{N}",)): (
        "qwen2", "deepseek-r1-qwen", "megrez", "hunyuan", "stablelm2", "grok-2", "solar-open", "kormo",
    ),
    PreTokenizer((_QWEN35,)): ("qwen35",),
    PreTokenizer((_BY_CASE % (_CAPITALIZED, _CAPITALS, r"\p{N}"),), ignore_merges=True, add_bos=True): ("tekken",),
    PreTokenizer(_BY_CASE_AND_CONTRACTIONS): ("gpt-4o", "llama4", "kanana2", "minimax-m2"),
    PreTokenizer(_DEEPSEEK_LLM): ("deepseek-llm",),
    PreTokenizer((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_CJK, r"\p{N}")): ("deepseek-coder",),
    PreTokenizer(_DEEPSEEK_V3): ("deepseek-v3", "hunyuan-dense", "joyai-llm"),
}  # fmt: skip
"""The names under which each is known; the first one stands for the family."""

GEMMA4 = PreTokenizer((r"\n+",), add_bos=True, characters=True)
"""For ``tokenizer.ggml.model`` = ``gemma4``, whose merges reach over words. No token holds line ends and others."""

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    name: pre_tokenizer for pre_tokenizer, names in FAMILIES.items() for name in names
}
