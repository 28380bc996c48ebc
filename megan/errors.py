"""The root of every error that a user can mend. The command line prints its message as one line."""


class MeganError(Exception):
    """Something outside the code is wrong; the message names it, what was expected and what to do."""
