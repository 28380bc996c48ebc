"""The root of every error that a user can mend. The command line prints its message as one line."""

LONGEST = 1500  # characters of a message


class MeganError(Exception):
    """Something outside the code is wrong; the message names it, what was expected and what to do.

    As text it is one line of printable characters whatever a file's or a server's words in it
    hold: no terminal escape, no text turned around, no page of names.
    """

    def __str__(self) -> str:
        line = " ".join(super().__str__().split())
        line = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line)
        if len(line) <= LONGEST:
            return line
        return f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 + 5 :]}"  # the end says what to do


class DataError(MeganError):
    """Data is missing, damaged or not what it should be; one line that says what to do."""
