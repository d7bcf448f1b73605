"""The engine in llama-server's place: it takes the flags and serves a tiny model until SIGTERM.

The model has random weights, a vocabulary of bytes and some words, and the chat template that the flags name.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from actors.http.options import MIN_SECRET_BYTES
from engine.sandbox.enclosure import open_enclosure
from engine_ctl.embedded import serve
from engine_ctl.engine_options import configured, http_options
from tests.peers.llama_server.flags import ServerFlags, read_flags
from tests.support.gguf_factory import write_tiny_model


def serve_in_place(flags: ServerFlags, folder: Path) -> None:
    """Serve until a signal. Sockets, the model and all else it writes go into the folder."""
    models = folder / "models"
    models.mkdir()
    write_tiny_model(
        models / f"{flags.alias}.gguf",
        vocabulary="spm",
        pre=None,
        context_length=flags.context_length,
        chat_template=flags.chat_template,
    )
    secret, defaults = folder / "secret", folder / "defaults.json"
    defaults.write_text(json.dumps(flags.defaults))
    secret.touch(mode=0o600)
    # Shorter secrets than the engine takes are made longer by what the client does not know: it is refused, not let in.
    secret.write_text((flags.secret or "").ljust(MIN_SECRET_BYTES, "-"))
    http = http_options(
        beside=None,
        socket="off",
        addresses=tuple(f"[{host}]:{flags.port}" if ":" in host else f"{host}:{flags.port}" for host in flags.hosts),
        token_file=None if flags.secret is None else secret,
        default_model=flags.alias,
        defaults=defaults,
        origins=(),
        allow_paths=False,
        allow_manage=False,
    )
    config = configured(models, "none", None, allow_prune=False)
    serve(config, folder / "engine.sock", 0.0, print, http, open_enclosure("llama-server's tests"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="engine-") as made:
        serve_in_place(read_flags(sys.argv[1:]), Path(made))
