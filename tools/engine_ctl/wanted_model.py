"""The model that a run wants: fetched first, if it can be and a person agrees."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from engine_ctl.progress_bar import ProgressBar
from protocol.errors import UnknownModel
from protocol.run_view import ShownProgress

if TYPE_CHECKING:
    from protocol.light_client import LightClient
    from protocol.run_view import ShownAdvice


def advice_on(client: LightClient, model: str, *, pull: bool, quiet: bool) -> ShownAdvice:
    """What the model's file advises. One that has not been pulled is fetched with ``pull``, or where a person at the
    terminal agrees.

    Raises:
        UnknownModel: there is none, or it is not to be fetched.
        EngineError: it cannot be fetched.
    """
    try:
        return client.advice(model)
    except UnknownModel as error:
        name = error.params.get("pull")
        if not isinstance(name, str) or not (pull or _agreed(name)):
            raise
    with ProgressBar(quiet=quiet) as bar:
        for message in client.pull(name):
            if isinstance(message, ShownProgress):
                bar.show(message)
    return client.advice(model)


def _agreed(name: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(f"{name} has not been pulled. Pull it now?", default=True, err=True)
