"""The text of an answer, told apart as it comes: what is said, what was thought, and calls of tools. Pure."""
