"""HTTP beside the engine's own socket: who may come in, and what is read from and written to them."""
