"""From documents to shards of tokens: reading, leaving out what is there twice, cutting into tokens."""
