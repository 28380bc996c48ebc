"""What every source, reader and writer of data raises."""

from megan.errors import MeganError


class DataError(MeganError):
    """Data is missing, damaged or not what it should be; one line that says what to do."""
