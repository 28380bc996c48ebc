"""Writes the numbers of the findings and of README.md from the records: `python -m tools.findings`.

A number stands between `<!-- findings NAME -->` and `<!-- end findings NAME -->`, and comes from a record's tables.
`BLOCKS` names what can stand there. `tests/report/test_findings.py` compares these files with the records.
"""

import re

from tools.findings import answers, checks, controls, published, records, replication, runs, training

FILES = ("docs/findings.md", "docs/findings_in_detail.md", "README.md")
MARK = re.compile(r"(<!-- findings (\w+) -->\n).*?(<!-- end findings \2 -->)", re.DOTALL)
ALL = (
    answers.answer,
    answers.figure,
    answers.pair,
    answers.matter,
    answers.claims,
    answers.questions,
    answers.noise,
    answers.alphabets,
    controls.controls,
    controls.fakes,
    checks.more_seeds,
    checks.fakes_of_multi_task,
    checks.without_pairs,
    training.over_training,
    training.speed,
    training.chosen,
    training.length,
    published.paper,
    published.paper_elsewhere,
    replication.figure_8,
    replication.figure_10,
    replication.readings,
    replication.generators,
    replication.second_order,
    replication.processors,
    replication.multi_task,
    published.anchor,
    runs.studies,
    runs.tiers,
    runs.other_data,
    runs.search,
)
BLOCKS = {block.__name__: block for block in ALL}


def written(file: str) -> str:
    """The file with its blocks written anew. Raises `KeyError` for a name that is not in `BLOCKS`."""
    found = records.records(file)
    text = (records.ROOT / file).read_text(encoding="utf-8")
    return MARK.sub(lambda mark: mark[1] + "\n".join(BLOCKS[mark[2]](found)) + "\n" + mark[3], text)
