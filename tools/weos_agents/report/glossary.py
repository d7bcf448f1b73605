"""What the words of a report mean."""

from __future__ import annotations

from typing import Final

GLOSSARY: Final = (
    ("plan", "everything that decides how the engine answers a request; the engine's own is the one it chooses itself"),
    ("pair", "the same input answered by both plans, one right after the other, each as often first as the other"),
    ("change, gain", "compared within each pair; the median is that of the pair in the middle"),
    ("proved", "the true change is not below it, but for an error as rare as the confidence says"),
    ("limit", "how much worse another figure may get, at most; a plan must prove that it keeps all of them"),
    ("own limit", "one that whoever asked for the search has set (--margin), in place of the default"),
    ("left out", "pairs while other processes had a share of the processor that spoils figures, or too short to tell"),
    ("refuted", "proved not to have the gain wanted"),
    ("tokens per joule", "tokens per second for each watt: report.json calls it tokens_per_watt"),
    ("measured energy", "read from a meter that the engine trusts; joules by a formula (modelled) prove nothing"),
    ("time to the first token", "from the request to its first token; report.json: ttft_ms"),
    ("95th percentile", "19 of 20 are not worse; of the first token, the worst of every five pairs stands for it"),
    ("sha256:…", "a plan's fingerprint: equal for equal plans; report.json has the plans whole"),
)
"""Word and meaning."""
