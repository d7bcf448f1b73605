"""Who may come in, decided from a request's headers and what the kernel says of its sender. Pure."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from actors.http.options import HttpRules
from actors.policies.requester import UNKNOWN, Requester
from protocol.dialects.fault import HttpFault

PUBLIC = frozenset({"/", "/health", "/v1/health", "/models", "/v1/models"})
"""What is answered without the secret: what there is to ask for, which the page that asks for the secret is a part of;
that the engine lives, and the names of its models, as other servers do."""

_HOST = re.compile(r"(?P<name>\[[^\[\]@]*\]|[^:\[\]@]*)(?::[0-9]*)?")
"""A name or an address, and a port: whatever else stands in a ``Host`` may be read otherwise by others."""


@dataclass(frozen=True, slots=True)
class HttpPeer:
    """The other end of a connection: over which kind of socket it came, and as whom."""

    kind: Literal["unix", "tcp"]
    is_owner: bool
    """The kernel says that the client runs as the engine's own user."""
    requester: Requester = UNKNOWN
    """The share of the engine that its requests take."""


def refusal(peer: HttpPeer, method: str, path: str, headers: Mapping[str, str], rules: HttpRules) -> HttpFault | None:
    """Why a request is refused, or ``None``. ``headers`` by their names in lower case."""
    if peer.kind == "tcp" and rules.secret is None:
        if not peer.is_owner:
            return HttpFault(403, "foreign_user", "only programs of the engine's own user may come in without a secret")
        if not _is_loopback(headers.get("host", "")):
            return HttpFault(403, "foreign_host", "Host names another machine; on this port it must be a loopback name")
    origin = headers.get("origin")
    if origin is not None and not _is_welcome(origin, headers.get("host", ""), rules):
        return HttpFault(403, "foreign_origin", f"pages of {clipped(origin)} may not speak to this engine")
    # A browser asks before it sends the secret, and without it.
    open_to_all = path in PUBLIC or is_preflight(method, headers)
    if peer.kind == "tcp" and rules.secret is not None and not open_to_all:
        presented = _presented(headers)
        if presented is None or not hmac.compare_digest(presented, rules.secret):
            reason = "no secret was given" if presented is None else "the secret is wrong"
            return HttpFault(401, "unauthorized", f"{reason}: send Authorization: Bearer SECRET, or x-api-key")
    return None


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks what it may ask for: such a request is answered before it reaches any route."""
    return method == "OPTIONS" and "access-control-request-method" in headers and "origin" in headers


def may_name_paths(peer: HttpPeer, rules: HttpRules) -> bool:
    """Whether a client may name models by their paths."""
    return peer.kind == "unix" or rules.secret is None or rules.allow_paths


def may_manage(peer: HttpPeer, rules: HttpRules) -> bool:
    """Whether a client may change what others use."""
    return peer.kind == "unix" or rules.allow_manage


def _is_welcome(origin: str, host: str, rules: HttpRules) -> bool:
    return origin in rules.origins or origin.lower() in {f"http://{host}".lower(), f"https://{host}".lower()}


def _is_loopback(host: str) -> bool:
    read = _HOST.fullmatch(host)
    if read is None:
        return False
    name = read["name"]
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _presented(headers: Mapping[str, str]) -> bytes | None:
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip().encode("latin-1")
    key = headers.get("x-api-key")
    return None if key is None else key.strip().encode("latin-1")


def clipped(text: str) -> str:
    """What a client sent, short enough to be repeated to it."""
    return text if len(text) <= 80 else text[:77] + "..."
