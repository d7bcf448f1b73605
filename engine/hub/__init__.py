"""The Hugging Face Hub as a source of models. Only :mod:`engine.hub.session` imports the hub's library."""
