"""What agents found, for a person: in the terminal, and as a page that needs nothing beside itself."""
