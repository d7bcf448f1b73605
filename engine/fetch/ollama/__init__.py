"""Models from a registry of Ollama's."""
