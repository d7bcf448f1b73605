"""Where joules come from, and what they are worth. Unknown is never 0."""
