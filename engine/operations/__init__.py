"""What is done with a model besides executions: evaluating, embedding, quantizing, removing."""
