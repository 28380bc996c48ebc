"""Stage `judge`: pre-trains a second ResNet-18. The realism of fakes is measured in its features.

It differs from the encoder in its seed, so that no generator is measured with the network that
conditions it.
"""

from megan.runs.job import Job
from megan.stages import encoder


def run(job: Job) -> None:
    """Run stage `encoder` with the parameters of `judge`."""
    encoder.run(job)
