"""The vocabulary shared by the engine and its clients: plans, messages, errors, framing, clients."""
