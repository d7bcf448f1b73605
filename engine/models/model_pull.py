"""The operation behind ``PullModel``: fetch a model by name."""

from __future__ import annotations

from engine.fetch.pull_watch import PullWatch
from engine.models.model_description import describe_model
from engine.models.registry import ModelRegistry
from protocol.answers import ModelDescription
from protocol.plan import BackendName
from protocol.progress import StageProgress
from protocol.requests import PullModel


class ModelPull:
    """An :class:`engine.operation.Operation`, but that its end may wait for the network, some seconds at most."""

    def __init__(self, request: PullModel, registry: ModelRegistry, backend: BackendName) -> None:
        self._request = request
        self._registry = registry
        self._backend = backend
        self._watch = PullWatch()

    def run(self) -> ModelDescription:
        """Raises what :meth:`ModelRegistry.pull` and :meth:`ModelRegistry.resolve` raise."""
        artifact = self._registry.pull(self._request.model, self._watch)
        return describe_model(artifact, self._backend)

    def progress(self) -> StageProgress | None:
        """See :meth:`Operation.progress`."""
        return self._watch.progress()

    def cancel(self) -> None:
        """See :meth:`Operation.cancel`."""
        self._watch.cancel()
