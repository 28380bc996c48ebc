"""Uses of a trained variant: classify one's own images, draw a task, measure memory and time."""
