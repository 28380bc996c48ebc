"""Parameters and their schema, paths, and settings of the machine."""
