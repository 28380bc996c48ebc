"""What every source, reader and writer of data raises."""


class DataError(Exception):
    """Data is missing, damaged or not what it should be; one line that says what to do."""
