"""The stages of `dvc.yaml`, a module each, with one function `run(job)`."""
