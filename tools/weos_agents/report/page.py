"""A page of HTML that needs nothing beside itself. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328;
  overflow-wrap: break-word; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; }
td, th { padding: 0.25rem 0.8rem 0.25rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #d0d7de; } td { border-bottom: 1px solid #eaeef2; font-variant-numeric: tabular-nums; }
td:nth-child(2):last-child { overflow-wrap: anywhere; } td:first-child:nth-last-child(2) { min-width: 5.5rem; }
td:nth-child(4):not(:last-child) { min-width: 10rem; }
div { overflow-x: auto; margin: 0.5rem 0; } figure { margin: 1rem 0; } img { max-width: 100%; }
.said { font-size: 1.15rem; } .note { color: #57606a; } code { font-size: 0.9em; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole page."""
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """The heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """``kind``: ``said`` for what matters most, ``note`` for what may be skipped."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of texts below the names of their columns, where these have names. It scrolls where it is wide."""
    head = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>\n" if any(names) else ""
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div><table>\n{head}{body}\n</table></div>"


def bullets(texts: Iterable[str]) -> str:
    """A list."""
    items = "\n".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>\n{items}\n</ul>"


def picture(png: bytes, caption: str) -> str:
    """A picture, in the page itself, with its caption."""
    data = b64encode(png).decode("ascii")
    text = escape(caption, quote=True)
    image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return f'<figure>{image}<figcaption class="note">{text}</figcaption></figure>'
