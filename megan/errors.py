"""The base class of all errors that a user can correct. The command line prints the message as one line."""

LONGEST = 1500  # characters of a message


class MeganError(Exception):
    """Something outside the code is wrong. The message says what, what was expected, and what to do.

    As text it is one line of printable characters, even if it quotes a file or a server: no
    terminal escapes, no reversed text, no very long lists.
    """

    def __str__(self) -> str:
        line = " ".join(super().__str__().split())
        line = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line)
        if len(line) <= LONGEST:
            return line
        return f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 + 5 :]}"  # the end says what to do


class DataError(MeganError):
    """Data is missing, damaged or wrong. The message says what to do."""
