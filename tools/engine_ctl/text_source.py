"""Text from a file or from standard input, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path

import click

STDIN = "-"


def read_text(path: str) -> str:
    """The whole text of ``path``, or of standard input where it is ``-``. Line ends stay as they are.

    Raises:
        click.BadParameter: it cannot be read, or is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}") from error
    return decoded(data, path)


def decoded(data: bytes, path: str = STDIN) -> str:
    """The text of bytes that came from ``path``. Raises click.BadParameter: they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        utf16 = error.object.startswith((b"\xff\xfe", b"\xfe\xff"))
        remedy = "; it begins as UTF-16 does, which iconv -f UTF-16 -t UTF-8 converts" if utf16 else ""
        raise click.BadParameter(f"{path} is not UTF-8: {error.reason} at byte {error.start}{remedy}") from error


def read_document(path: str) -> str:
    """A text as :func:`read_text` has it, without the byte order mark that editors put before it."""
    return read_text(path).removeprefix("\ufeff")
