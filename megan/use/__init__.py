"""What one does with a trained variant: classify images of one's own, draw a task, tell what it costs."""
