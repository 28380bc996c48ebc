"""From the public files to tasks: `download`, `prepare` (the splits), `episodes` (the task sampler); a file a source."""
