"""The form of messages between actors: objects, or frames where ``ENGINE_TEST_FRAMES`` is set (`make test-frames`)."""

from __future__ import annotations

import os
from typing import Any

from actors.message_codec import MessageCodec
from actors.messages import ActorMessage

CODEC: MessageCodec[Any] | None = MessageCodec[Any](ActorMessage) if os.environ.get("ENGINE_TEST_FRAMES") else None
