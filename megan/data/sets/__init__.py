"""The data sets, a module each. `megan.data.dataset` says what a module states in its `DATA_SET`.

The command line imports the current study's data sets before every stage. So a module imports what is slow
to load only in the function that needs it.
"""
