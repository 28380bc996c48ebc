"""Storage of results: atomic writes, records, checkpoints, interruption, provenance, progress.

No code here affects a number, so no result depends on this folder.
"""
