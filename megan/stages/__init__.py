"""The stages of `dvc.yaml`, one module for each, with a function `run(job)`."""
