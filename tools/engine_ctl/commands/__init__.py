"""One module for each command; its click command is ``command``."""
