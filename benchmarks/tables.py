"""Tables as Markdown and CSV, and their place in the documentation."""

import csv
from pathlib import Path

Row = dict[str, str]


def markdown(rows: list[Row]) -> str:
    if not rows:
        return ""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def text(rows: list[Row]) -> str:
    """The same for a terminal, in columns."""
    heads = list(rows[0])
    lines = [heads, *([row[head] for head in heads] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def caption(machine: dict[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in machine.items()) + "\n"


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def insert(document: Path, mark: str, content: str) -> None:
    """Put `content` between the document's lines `<!-- mark -->` and `<!-- end mark -->`, if it has them."""
    if not document.is_file():
        return
    before, opening, rest = document.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n")
    _, closing, after = rest.partition(f"<!-- end {mark} -->")
    if opening and closing:
        document.write_text(before + opening + content.rstrip("\n") + "\n" + closing + after, encoding="utf-8")
