"""Stage `judge`: pre-train a second ResNet-18, in whose features fakes are measured.

It is another network than the encoder, with another seed, so that no generator is measured
with what it was conditioned on.
"""

from megan.runs.job import Job
from megan.stages import encoder


def run(job: Job) -> None:
    """As stage `encoder`, with the parameters `judge`."""
    encoder.run(job)
