"""Text to token ids and back: vocabularies, tokenizers, chat templates."""
