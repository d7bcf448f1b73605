"""Text to token ids and back, by the vocabulary in a GGUF."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, Protocol

from engine import _core
from engine.text.bpe import BpeEncoder
from engine.text.metadata import Metadata
from engine.text.pre_tokenizers import GEMMA4, PRE_TOKENIZERS, PreTokenizer
from engine.text.special_tokens import ASCII_SPACE, NORMAL, SpecialTokens
from engine.text.spm import SPACE, SpmEncoder
from engine.text.wpm import WpmEncoder
from protocol.errors import InvalidModel, InvalidRequest, UnsupportedModel

_KEYS = "tokenizer.ggml."
_NAMES_IN_TEMPLATES = {
    "unk_token": "unknown",
    "sep_token": "seperator",  # as the key is spelt
    "pad_token": "padding",
    "mask_token": "mask",
    "cls_token": "cls",
}
_TEXT_BYTES = (*range(0xC0), *range(0xC2, 0xF5))
"""What UTF-8 consists of."""
_PRINTED = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_LETTERS = {byte: chr(0x100 + number) for number, byte in enumerate(sorted({*range(0x100)}.difference(_PRINTED)))}
_LETTERS |= {byte: chr(byte) for byte in _PRINTED}
"""GPT-2's alphabet: what prints stands for itself."""
_FIRST_TOKENS = 1024
"""Among these are the bytes, nearly always."""
_ABSENT_KINDS = {"t5": "UGM", "rwkv": "RWKV"}
_Kind = Literal["spm", "bpe", "wpm"]


class _Encoder(Protocol):
    def encode(self, text: str) -> list[int]: ...


class Tokenizer:
    """Immutable and thread-safe. Ids are those of the model's own tokenizer, and of llama.cpp for the same file but for
    the cases in docs/tokenizers.md.

    Raises:
        InvalidModel: the vocabulary is missing, or contradicts itself.
        UnsupportedModel: a kind of tokenizer, or of pre-tokenizer, that this engine lacks.
    """

    def __init__(self, gguf: _core.GgufFile) -> None:
        metadata = Metadata(gguf)
        self._kind, pre_tokenizer = _kind(metadata)
        spm, wpm = self._kind == "spm", self._kind == "wpm"
        self._tokens = _tokens(metadata)
        types = _types(metadata, len(self._tokens))
        self._special = SpecialTokens(self._tokens, types, strip_after=_strips_after_special(metadata))
        self._encoder: _Encoder
        if wpm:
            lowercase = metadata.boolean(_KEYS + "normalizer.lowercase", True)
            self._encoder = WpmEncoder(self._tokens, types, lowercase=lowercase)
        else:
            self._encoder = _spm_encoder(metadata, self._tokens, gguf.path) if spm else BpeEncoder(gguf, pre_tokenizer)
        self.vocabulary = _vocabulary(gguf)

        begin = "cls" if wpm and _KEYS + "cls_token_id" in metadata else "bos"
        end = "seperator" if wpm else "eos"  # as the key is spelt
        self.bos_token_id = _token_id(metadata, begin, len(self._tokens), 1 if spm else None)
        eos_token_id = _token_id(metadata, end, len(self._tokens), 2 if spm else None)
        ends = [_token_id(metadata, name, len(self._tokens), None) for name in ("eot", "eom")]
        self.eos_token_ids = tuple(
            sorted(self._special.end_token_ids.union(end for end in (eos_token_id, *ends) if end is not None))
        )
        """Every token that ends a generation, ascending."""
        self._eos_token_id = eos_token_id
        self._named_ids = _named_ids(metadata, len(self._tokens))
        self._add_space = metadata.boolean(_KEYS + "add_space_prefix", True) and spm
        self._add_bos = _adds_bos(metadata, spm or wpm, pre_tokenizer)
        self._add_eos = metadata.boolean(_KEYS + ("add_sep_token" if wpm else "add_eos_token"), wpm)
        self._max_token_bytes = _longest_bytes(self._tokens)
        self._keeps_every_byte = _spells_every_byte(self._tokens, by_name=spm or wpm or pre_tokenizer.characters)
        self._strips_space = _strips_after_special(metadata)

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def adds_bos(self) -> bool:
        """Texts begin with BOS."""
        return self._add_bos and self.bos_token_id is not None

    @property
    def bos_text(self) -> str:
        """The text of the BOS token; empty without one."""
        return "" if self.bos_token_id is None else self._tokens[self.bos_token_id]

    @property
    def eos_text(self) -> str:
        """The text of the EOS token; empty without one."""
        return "" if self._eos_token_id is None else self._tokens[self._eos_token_id]

    @property
    def special_texts(self) -> dict[str, str]:
        """The texts of the special tokens beside BOS and EOS, by the names that chat templates have for them."""
        return {name: self._tokens[token_id] for name, token_id in self._named_ids.items()}

    def encode(
        self, text: str, add_special: bool = True, parse_special: bool = False, mark: str | None = None
    ) -> list[int]:
        """The ids of a text.

        ``add_special``: BOS before and EOS after, where the vocabulary says so. ``parse_special``: text that spells a
        control token becomes that token, unless it holds a ``mark`` (:meth:`literal`); marks are no part of the text.

        Raises:
            InvalidRequest: the text is no Unicode (it holds surrogates).
        """
        _require_unicode(text)
        found: list[int] = []
        if add_special and self._add_bos and self.bos_token_id is not None:
            found.append(self.bos_token_id)
        after_special = True
        for piece in self._special.partition(text, parse_special):
            if isinstance(piece, int):
                found.append(piece)
            else:
                found += self._encode_text(piece if mark is None else piece.replace(mark, ""), after_special)
            after_special = isinstance(piece, int)
        if add_special and self._add_eos and self._eos_token_id is not None:
            found.append(self._eos_token_id)
        return found

    def encode_sequence(self, text: str, mark: str | None = None) -> list[int]:
        """The ids of all that a model is given: control tokens where the text spells them, and BOS no second time.

        ``mark`` and errors as in :meth:`encode`.
        """
        begun = bool(self.bos_text) and text.startswith(self.bos_text)
        return self.encode(text, add_special=not begun, parse_special=True, mark=mark)

    def _encode_text(self, text: str, after_special: bool) -> list[int]:
        if self._kind != "spm":
            return self._encoder.encode(text)
        spaced = " " + text if self._add_space and after_special else text
        return self._encoder.encode(spaced.replace(" ", SPACE))

    def literal(self, text: str, mark: str) -> str:
        """The text with marks, one character each, so that ``encode`` finds no control token in it."""
        return self._special.literal(text, mark)

    def control_id(self, text: str) -> int | None:
        """The control token that a text is; ``None`` where it is none."""
        return self._special.control_id(text)

    def single(self, text: str) -> int | None:
        """The one token that a text is, control tokens among them; ``None`` where it is several."""
        found = self.encode(text, add_special=False, parse_special=True)
        return found[0] if len(found) == 1 else None

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of the ids; control tokens print nothing, ill-formed UTF-8 becomes U+FFFD.

        Raises:
            InvalidRequest: an id the vocabulary does not have.
        """
        self.require_ids(token_ids)
        return self.vocabulary.detokenize(token_ids)

    def spelled(self, token_ids: Sequence[int]) -> str:
        """The text of the ids, control tokens by their names. Raises InvalidRequest as ``decode``."""
        self.require_ids(token_ids)
        pieces = (self.vocabulary.piece(one) or self._tokens[one].encode() for one in token_ids)
        return b"".join(pieces).decode("utf-8", "replace")

    def piece(self, token_id: int) -> str:
        """What a token prints by itself; its name where it prints nothing. Raises InvalidRequest as ``decode``."""
        self.require_ids((token_id,))
        return self.vocabulary.piece(token_id).decode("utf-8", "replace") or self._tokens[token_id]

    def printing(self, texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """The tokens that print each of the texts and nothing else, ascending. Reads all tokens."""
        wanted = {text.encode(): text for text in texts}
        found: dict[str, tuple[int, ...]] = {}
        for token_id in range(len(self._tokens)):
            text = wanted.get(self.vocabulary.piece(token_id))
            if text is not None:
                found[text] = (*found.get(text, ()), token_id)
        return found

    def least_tokens(self, text: str) -> int:
        """A lower bound of the text's tokens, found at once however long it is. 0 if the vocabulary lacks a byte: then
        any part of a text may be left out."""
        if not self._keeps_every_byte:
            return 0
        left_out = sum(map(text.count, ASCII_SPACE)) if self._strips_space else 0
        return (len(text.encode(errors="surrogatepass")) - left_out) // self._max_token_bytes

    def require_ids(self, token_ids: Sequence[int], field: str = "token_ids") -> None:
        """Raises InvalidRequest about ``field``: an id the vocabulary does not have."""
        for token_id in token_ids:
            if not 0 <= token_id < len(self._tokens):
                raise InvalidRequest(
                    f"no token {token_id}; this vocabulary has ids 0 to {len(self._tokens) - 1}",
                    field=field,
                    value=token_id,
                    maximum=len(self._tokens) - 1,
                )


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the text is not Unicode: {error.reason} at {error.start}", field="text") from error


def _kind(metadata: Metadata) -> tuple[_Kind, PreTokenizer]:
    """The vocabulary's kind, and how BPE cuts text into words."""
    model = metadata.string(_KEYS + "model")
    if model == "llama":
        return "spm", PRE_TOKENIZERS["default"]
    if model == "bert":
        return "wpm", PRE_TOKENIZERS["default"]
    if model == "gemma4":
        return "bpe", GEMMA4
    if model != "gpt2":
        kind = f" ({_ABSENT_KINDS[model]})" if model in _ABSENT_KINDS else ""
        raise UnsupportedModel(
            f"tokenizer.ggml.model is {model!r}{kind}; this engine has llama (SPM), bert (WPM), gpt2 and gemma4 (BPE)",
            tokenizer=model,
            allowed=["bert", "gemma4", "gpt2", "llama"],
        )
    pre = metadata.string_or_none(_KEYS + "pre") or "default"
    if pre not in PRE_TOKENIZERS:
        raise UnsupportedModel(
            f"tokenizer.ggml.pre is {pre!r}, which this engine cannot split words for; it has "
            f"{', '.join(PRE_TOKENIZERS)}",
            pre_tokenizer=pre,
            allowed=list(PRE_TOKENIZERS),
        )
    return "bpe", PRE_TOKENIZERS[pre]


def _adds_bos(metadata: Metadata, by_default: bool, pre_tokenizer: PreTokenizer) -> bool:
    # Files of Gemma 4 that were converted early deny it, and the model is lost without.
    said = metadata.boolean(_KEYS + "add_bos_token", by_default or pre_tokenizer.add_bos)
    return said or pre_tokenizer is GEMMA4


def _tokens(metadata: Metadata) -> list[str]:
    tokens = metadata.array(_KEYS + "tokens", str)
    if not tokens:
        raise InvalidModel("tokenizer.ggml.tokens is empty", key=_KEYS + "tokens")
    # An empty token can never be met in text; it keeps its place under a name of its own.
    return [token or f"[EMPTY_{token_id}]" for token_id, token in enumerate(tokens)] if "" in tokens else tokens


def _longest_bytes(tokens: list[str]) -> int:
    """The most bytes of text that a token stands for; perhaps a few more. What stands for a space, or for a byte that
    does not print, is spelled in as many bytes or more."""
    characters = max(map(len, tokens))
    # One of fewer than a quarter of the characters has fewer bytes.
    return max(len(token.encode(errors="surrogatepass")) for token in tokens if 4 * len(token) >= characters)


def _spells_every_byte(tokens: list[str], *, by_name: bool) -> bool:
    """Whether every byte that text can hold is a token, by its name or in GPT-2's alphabet."""
    spelled = {f"<0x{byte:02X}>" for byte in _TEXT_BYTES} if by_name else {_LETTERS[byte] for byte in _TEXT_BYTES}
    missing = spelled.difference(tokens[:_FIRST_TOKENS])
    return not missing or missing.issubset(tokens)


def _ids(tokens: list[str], path: str) -> dict[str, int]:
    ids = dict(zip(tokens, range(len(tokens)), strict=True))
    if len(ids) != len(tokens):
        twice = next(token for token_id, token in enumerate(tokens) if ids[token] != token_id)
        raise InvalidModel(f"{path}: the token {twice!r} is in the vocabulary twice", token=twice)
    return ids


def _types(metadata: Metadata, vocab_size: int) -> list[int]:
    key = _KEYS + "token_type"
    return metadata.array(key, int, vocab_size) if key in metadata else [NORMAL] * vocab_size


def _strips_after_special(metadata: Metadata) -> bool:
    """A trait of tokens that no key tells of, so the model's name has to."""
    name = (metadata.string_or_none("general.name") or "").lower()
    return "phi-3" in name or "phi3" in name


def _spm_encoder(metadata: Metadata, tokens: list[str], path: str) -> SpmEncoder:
    return SpmEncoder(_ids(tokens, path), _scores(metadata, len(tokens)))


def _scores(metadata: Metadata, vocab_size: int) -> list[float]:
    """Scores of all tokens. Where the file has none they are equal, as in llama.cpp: the leftmost pair merges first."""
    key = _KEYS + "scores"
    if key not in metadata:
        return [0.0] * vocab_size
    return [float(score) for score in metadata.numbers(key, vocab_size)]


def _token_id(metadata: Metadata, name: str, vocab_size: int, default: int | None) -> int | None:
    key = f"{_KEYS}{name}_token_id"
    if key in metadata:
        return metadata.token_id(key, vocab_size)
    return default if default is not None and default < vocab_size else None


def _named_ids(metadata: Metadata, vocab_size: int) -> dict[str, int]:
    """Ids by the names in chat templates."""
    named: dict[str, int] = {}
    for name, key in _NAMES_IN_TEMPLATES.items():
        with suppress(InvalidModel):  # few templates read them, and none can read a token that there is not
            token_id = metadata.token_id(f"{_KEYS}{key}_token_id", vocab_size)
            named |= {} if token_id is None else {name: token_id}
    return named


def _vocabulary(gguf: _core.GgufFile) -> _core.Vocabulary:
    try:
        return _core.Vocabulary(gguf)
    except _core.GgufError as error:
        raise InvalidModel(f"{gguf.path}: {error}") from error
    except _core.UnsupportedModelError as error:
        raise UnsupportedModel(f"{gguf.path}: {error}") from error
