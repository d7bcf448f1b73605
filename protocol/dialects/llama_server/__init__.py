"""llama-server's routes: completions of its own shape, tokens, properties, slots, figures."""
