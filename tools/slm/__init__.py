"""Small language models, from text to a file that the engine runs.

The way of a model, each step a command and a package here: ``corpus`` makes documents into shards of tokens,
``training`` makes those into checkpoints, ``export`` makes checkpoints into GGUF and ONNX, and ``evaluation`` says how
many bits a byte of unseen text costs. The model itself is in ``transformer``. The engine is met as any client meets
it, in ``engine_link`` alone; it never imports any of this.
"""
