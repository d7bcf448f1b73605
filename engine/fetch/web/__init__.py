"""Models at addresses of the web."""
