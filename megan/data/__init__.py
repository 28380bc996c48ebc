"""Data: stage `download` fetches the public files, stage `prepare` splits them, `episodes` samples tasks.

Each data set has its own module.
"""
