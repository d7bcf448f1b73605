"""Agents that observe an engine, experiment with its plans and propose better ones: clients, and nothing of the engine.

An engine decides nothing by itself and applies nothing unasked; these agents show what can be built on that. They read
recorded figures and never measure by themselves. What each does is in the module of its name: ``observer``,
``experimenter``, ``optimizer``. ``gate`` says when a plan may be applied, and ``statistics`` what it rests on.
"""
