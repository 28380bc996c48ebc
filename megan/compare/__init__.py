"""`megan compare A B`: the paired difference of any two tested variants on common meta-test tasks, with a picture.

`side` reads a variant from a study, a record or another revision; `paired` compares two of them; `drawn` draws it.
"""

from pathlib import Path

from megan.compare import drawn, paired, side
from megan.config import paths
from megan.config.params import Params
from megan.errors import MeganError
from megan.report import picture

ENDING = ".png"


class OutputError(MeganError):
    """The picture cannot be written where it was asked for; the message says what is expected."""


def compare(params: Params, a: str, b: str, output: Path | None = None) -> str:
    """Compare two variants, named as `side.read` expects; returns the result as text of at most 120 columns.

    Writes the picture (PNG, SVG), its caption (JSON) and one row for each seed (CSV).

    **Arguments** `output`: the PNG file, else one in `results/<study>/compare`.
    **Raises** `MeganError` for a variant that does not exist or is not tested, for two that were not tested on the
    same tasks, and for an `output` that is no PNG file.
    """
    if output is not None and output.suffix != ENDING:
        raise OutputError(f"--output {output}: expected a file that ends in {ENDING}")
    found = paired.compare(side.read(params, a), side.read(params, b))
    target = output or paths.compared(params.study) / f"{side.file_name(a)}-{side.file_name(b)}{ENDING}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(drawn.figure(found), target.parent, target.stem)
        found.seeds.to_csv(target.with_suffix(".csv"), index=False, float_format="%.6g")
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({error.strerror}); name another file with --output") from None
    return f"{drawn.text(found)}\n\nwritten: {target}, with .svg, .json (caption) and .csv (seeds) beside it"
