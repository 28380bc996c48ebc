"""How a run keeps its results: atomic writes, records, checkpoints, interruption, provenance, progress.

Nothing in here shapes a number, so no result depends on this folder.
"""
