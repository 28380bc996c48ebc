"""The meta-learning engine.

`systems` (the learners), `adapt` (the inner loop), `losses` and `gan_losses` (the paper's losses),
`gradient` (the outer gradient), `replayed` (chunks recorded once and replayed), `iteration` (a meta-step),
`evaluate` (meta-testing), `generation` (samples).
"""
