"""Ollama's routes: chat and generate, models, embeddings."""
