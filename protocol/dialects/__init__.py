"""The engine's messages in the languages that HTTP clients speak: shapes and translation, without I/O.

A dialect turns a body into requests of :mod:`protocol.requests`, and the engine's messages into answers of its own.
"""
