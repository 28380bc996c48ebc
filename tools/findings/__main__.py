"""`python -m tools.findings`: write all files anew, from records that are as they were made."""

import sys

from megan.config import paths
from megan.record import RecordError, verify
from tools.findings import FILES, records, written

try:
    for study in records.ORDER:
        verify(records.ROOT / paths.RECORD / study)
except RecordError as error:
    sys.exit(str(error))
for file, text in {file: written(file) for file in FILES}.items():
    (records.ROOT / file).write_text(text, encoding="utf-8")
