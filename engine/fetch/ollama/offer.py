"""What Ollama's registry offers of a model: the GGUF among the layers of a manifest, by its SHA-256.

The registry speaks the distribution protocol of container images: ``GET /v2/NAMESPACE/NAME/manifests/TAG``, then
``/blobs/DIGEST``. ``ENGINE_OLLAMA_REGISTRY`` names another one.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Final
from urllib.parse import urlsplit

from engine.fetch.offer import Offer
from engine.fetch.ollama.reference import OllamaReference
from engine.fetch.read_ahead import Pieces
from engine.fetch.remote_file import RemoteFile
from engine.fetch.transfer import InterruptedTransferError
from engine.fetch.web.file import WebFile
from protocol.errors import DownloadFailed, UnknownModel, UnsupportedModel

_REGISTRY: Final = "https://registry.ollama.ai"
_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER: Final = "application/vnd.ollama.image."
_MANIFEST_BYTES: Final = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def ollama_offer(reference: OllamaReference) -> Offer:
    """The model that a reference means, as the registry has it now. Blocking.

    Templates and parameters of the manifest are Ollama's own and are not fetched: the engine reads those of the GGUF.

    Raises:
        UnknownModel: the registry has no such model, or no such tag of it.
        UnsupportedModel: it is an adapter on another model, or not a GGUF.
        DownloadFailed: the registry cannot be reached, refuses, or is none.
    """
    registry = (os.environ.get("ENGINE_OLLAMA_REGISTRY") or _REGISTRY).rstrip("/")
    host = urlsplit(registry).hostname
    if host is None or urlsplit(registry).scheme not in ("http", "https"):
        raise DownloadFailed("ENGINE_OLLAMA_REGISTRY is no address, such as https://HOST", reason="not_a_registry")
    repository = f"{registry}/v2/{reference.namespace}/{reference.model}"
    file, digest = _model_layer(reference, _manifest(reference, f"{repository}/manifests/{reference.tag}"))
    blob = WebFile(f"{repository}/blobs/{digest}")

    def read(_: RemoteFile, offset: int, end: int | None) -> Pieces:
        return blob.read(offset, end)

    def senseless(file: RemoteFile) -> DownloadFailed:
        return DownloadFailed(
            f"{host} does not send the {file.size_bytes} bytes of {reference.name}",
            model=reference.name,
            reason="not_a_registry",
        )

    return Offer(reference.name, reference.place.parent, (file,), read, senseless)


def _manifest(reference: OllamaReference, url: str) -> Any:
    try:
        return json.loads(WebFile(url, accept=_MANIFEST).document(_MANIFEST_BYTES))
    except DownloadFailed as failure:
        if failure.params.get("status") == 404:
            raise UnknownModel(
                f"Ollama's registry has no {reference.name}; https://ollama.com/library lists its models and tags",
                model=reference.name,
            ) from failure
        raise DownloadFailed(failure.message, model=reference.name, reason=failure.params["reason"]) from failure
    except InterruptedTransferError as interruption:
        told = interruption.failure
        raise DownloadFailed(told.message, model=reference.name, reason=told.params["reason"]) from interruption
    except (ValueError, RecursionError) as error:
        raise _not_a_registry(reference) from error


def _model_layer(reference: OllamaReference, manifest: Any) -> tuple[RemoteFile, str]:
    """The file, and the digest by which the registry names it."""
    try:
        layers = {layer["mediaType"]: layer for layer in reversed(manifest["layers"])}
        if f"{_LAYER}adapter" in layers:
            raise UnsupportedModel(
                f"{reference.name} is an adapter on another model; adapters are not run", model=reference.name
            )
        layer = layers.get(f"{_LAYER}model")
        if layer is None:
            raise UnsupportedModel(f"{reference.name} holds no GGUF", model=reference.name)
        size, digest = layer["size"], layer["digest"]
        if type(size) is not int or size <= 0 or _DIGEST.fullmatch(digest) is None:
            raise _not_a_registry(reference)
    except (KeyError, TypeError) as error:
        raise _not_a_registry(reference) from error
    return RemoteFile(reference.place.name, size, digest), digest


def _not_a_registry(reference: OllamaReference) -> DownloadFailed:
    return DownloadFailed(
        "what answers is no registry of Ollama's. Check ENGINE_OLLAMA_REGISTRY and the network",
        model=reference.name,
        reason="not_a_registry",
    )
