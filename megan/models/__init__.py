"""The networks, as functions of their weights.

Weights are a flat dictionary. A key begins with its group, such as `cls.` (classifier) or `gen.`
(generator); a group is updated together in the inner loop. Initial weights have a leading seed axis,
adapted weights a leading task axis.
"""
