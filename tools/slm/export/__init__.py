"""From a checkpoint to a file that others run: GGUF, ONNX, and the importance of each column."""
