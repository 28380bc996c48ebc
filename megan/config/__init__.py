"""Parameters and their schema, file paths, and settings of the machine."""
