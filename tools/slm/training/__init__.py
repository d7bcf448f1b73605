"""From shards to checkpoints: batches, schedule, steps, and a log that survives being killed."""
