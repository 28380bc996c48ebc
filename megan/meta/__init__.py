"""The meta-learning engine: `adapt` (the inner loop), `objectives` (the paper's losses),
`gradient` (the outer gradient), `iteration` (a meta-step), `evaluate`, `checkpoint`."""
