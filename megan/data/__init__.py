"""From the public files to tasks: stage `download` fetches, stage `prepare` splits, `episodes` samples tasks.

Each source of data has a module of its own.
"""
