"""All that is to be known about the engine on a GPU, in ten minutes: `python -m benchmarks.gpu`."""
