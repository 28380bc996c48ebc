"""`python -m tools.findings`: write all files anew."""

from tools.findings import FILES, records, written

for file in FILES:
    (records.ROOT / file).write_text(written(file), encoding="utf-8")
