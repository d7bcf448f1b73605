"""From a request to a frozen plan."""
