"""The meta-learning engine: `adapt` (the inner loop), `objectives` (the paper's losses),
`gradient` (the outer gradient), `train`, `evaluate`, `checkpoint`."""
