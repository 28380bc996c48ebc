"""The networks, each a function of its weights.

Weights are a flat dictionary whose keys begin with the group that steps together in the
inner loop: `cls.` (classifier) and `gen.` (generator). Initial weights carry a leading
seed axis, adapted weights a leading task axis.
"""
