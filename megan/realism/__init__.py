"""Measures of how realistic, faithful and diverse fakes are, in the features of a network that no generator uses."""
