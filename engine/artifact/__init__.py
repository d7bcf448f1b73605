"""A model as a file: what its header says, which bytes it is made of, what it takes of memory."""
