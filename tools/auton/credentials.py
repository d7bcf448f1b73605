"""Credentials: what looks like one, and the values of this process's variables that are named like one."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator

_PATTERNS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d"),
    "a key of AWS": re.compile(r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
    "a token of GitHub": re.compile(r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22}"),
    "a token of Hugging Face": re.compile(r"hf_[A-Za-z0-9]{30}"),
    "a key of Google": re.compile(r"AIza[A-Za-z0-9_-]{35}"),
    # Behind a letter it must have digits, as words such as "disk-partition" have not.
    "a provider's key": re.compile(
        r"(?:(?<![A-Za-z0-9])|(?=sk-(?:[A-Za-z_-]{0,40}[0-9]){3}))sk-[A-Za-z0-9_-]{20}",
    ),
}
_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_LEAST_VALUE = 8
_HIDDEN = frozenset({"Cc", "Cf"})
_EDGES = " \t\\\"'"
"""Characters around an end of line that goes on with a piece of text in the next."""


def is_credential(variable: str) -> bool:
    """Whether a variable of the environment is named like one."""
    return any(one in variable.upper() for one in _NAMES)


def credentials_in(text: str) -> list[str]:
    """Names of those that a text holds: as they are, with hidden characters inside, or split over lines."""
    forms = _forms(text)
    found = [what for what, pattern in _PATTERNS.items() if any(map(pattern.search, forms))]
    for name, value in os.environ.items():
        if is_credential(name) and len(value) >= _LEAST_VALUE:
            sought = zip(_forms(value), forms, strict=True)
            if any(len(one) >= _LEAST_VALUE and one in form for one, form in sought):
                found.append(f"the value of {name}")
    return found


def _forms(text: str) -> tuple[str, str, str]:
    """A text, the same with nothing hidden in it, and that in one line."""
    plain = "".join(_without_hidden(unicodedata.normalize("NFKC", text)))
    return text, plain, "".join(line.strip(_EDGES) for line in plain.split("\n"))


def _without_hidden(text: str) -> Iterator[str]:
    return (one for one in text if one == "\n" or unicodedata.category(one) not in _HIDDEN)
