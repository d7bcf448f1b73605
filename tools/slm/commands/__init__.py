"""The commands of ``slm``, a module each."""
