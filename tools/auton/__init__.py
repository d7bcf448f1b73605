"""Agents that work on a Git repository: one plans, several develop side by side, one reviews, one tests.

``settings`` is what the operator decides, ``provider`` asks models, and ``journal`` keeps every answer, so that a run
goes on after a kill. ``repository`` gives each task a worktree and a branch, ``diff_check`` says what may come in,
``sandbox`` holds what is built, and ``orchestrator`` brings them together. The engine is one provider among others, met
over HTTP.
"""
