"""Stories for the demonstration: short, about animals and children, each of a beginning, a trouble, help and an end."""

from __future__ import annotations

from slm.corpus.documents import Document
from slm.corpus.draw import Draw

_WHO = (
    ("fox", "den"), ("rabbit", "burrow"), ("bear", "cave"), ("mouse", "nest"), ("duck", "pond"), ("owl", "tree"),
    ("hedgehog", "garden"), ("kitten", "basket"), ("puppy", "yard"), ("frog", "lake"), ("squirrel", "oak"),
)  # fmt: skip
_NAMES = (
    "Anna", "Ben", "Clara", "David", "Ella", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Lena", "Max", "Nora", "Oskar",
    "Paula", "Rosa", "Simon", "Tilda", "Viktor", "Zoe",
)  # fmt: skip
_KINDS = ("little", "brave", "shy", "clever", "sleepy", "kind", "curious", "young", "quiet", "cheerful")
_PLACES = (
    "in a green valley", "by the sea", "at the edge of a forest", "near an old mill", "on a high hill", "behind a farm",
    "beside a slow river", "in a small village", "under a wide bridge", "next to a lighthouse",
)  # fmt: skip
_DAYS = ("One morning", "One day", "On a rainy afternoon", "One cold evening", "Early in spring", "After breakfast")
_THINGS = ("red ball", "blue kite", "silver key", "wooden boat", "warm scarf", "small lamp", "paper star", "tin drum")
_TROUBLES = (
    "the {thing} rolled down a hole and was gone", "the wind took the {thing} up into a tall tree",
    "the {thing} fell into the water and floated away", "somebody had left the {thing} out in the rain",
    "the {thing} broke into two pieces", "a deep puddle lay between them and the {thing}",
)  # fmt: skip
_FEELINGS = ("sad", "worried", "a bit afraid", "cross", "very sorry", "puzzled")
_HELPS = (
    "found a long stick and reached for it", "called all the neighbours together", "tied a rope around a stone",
    "climbed up slowly, one step at a time", "asked the wise old turtle what to do", "waited until the wind was still",
    "built a bridge of branches", "drew a map in the sand",
)  # fmt: skip
_ENDS = (
    "At last they had the {thing} back, and everybody cheered.",
    "Soon the {thing} was safe again, and the sun came out.",
    "When it was done, they shared bread and honey.",
    "That night they put the {thing} on the shelf, where all could see it.",
)
_MORALS = (
    "They had learned that two can do what one cannot.", "They had learned to ask for help.",
    "They had learned that patience is stronger than pulling.", "They had learned to look twice.",
    "From then on, they took good care of their things.",
)  # fmt: skip
_SAYINGS = (
    "Do not cry", "We will find a way", "Let us think first", "I know what to do", "Come with me", "Hold on tight",
    "It is not far",
)  # fmt: skip


def story(draw: Draw) -> Document:
    """One story."""
    (animal, home), (friend, _) = draw.some(_WHO, 2)
    name, other = draw.some(_NAMES, 2)
    kind, thing = draw.one(_KINDS), draw.one(_THINGS)
    lines = [
        f"Once upon a time, {draw.one(_PLACES)}, there lived a {kind} {animal} called {name}. "
        f"{name} loved the {home}, and most of all {_own(draw)} {thing}.",
        f"{draw.one(_DAYS)}, {draw.one(_TROUBLES).format(thing=thing)}. {name} was {draw.one(_FEELINGS)}.",
        f'"{draw.one(_SAYINGS)}," said {other} the {friend}. So {other} {draw.one(_HELPS)}, '
        f"and {name} {draw.one(_HELPS)}.",
    ]
    if draw.happens(0.4):
        lines.append(f'It did not work at once. "{draw.one(_SAYINGS)}," said {name}, and they tried again.')
    lines.append(f"{draw.one(_ENDS).format(thing=thing)} {draw.one(_MORALS)}")
    return Document("\n".join(lines))


def _own(draw: Draw) -> str:
    return draw.one(("the", "a very old", "a beautiful", "a shiny"))
