"""Writes an HTML template for `dvc plots` that needs no network.

DVC's own page loads Vega from the web and stays empty without network. Snakemake ships the same
files for its reports, and this script copies them into the page. Run it from the root of the
repository:

    python tools/offline_plots.py
    dvc plots diff --html-template .dvc/tmp/offline_plots.html ...
"""

import sys
from importlib.resources import files
from pathlib import Path

TEMPLATE = Path(".dvc/tmp/offline_plots.html")  # git ignores it
LIBRARIES = ("vega", "vega-lite", "vega-embed")  # in the order of their dependencies

# DVC replaces {plot_divs} with the plots; without {scripts} it adds no addresses.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Plots</title>
%s
</head>
<body>
{plot_divs}
</body>
</html>
"""


def template() -> str:
    assets = files("snakemake") / "assets" / "data"
    scripts = []
    for name in LIBRARIES:
        source = (assets / name / f"{name}.js").read_text(encoding="utf-8")
        source = source.replace("</script", "<\\/script")  # would end the element
        scripts.append(f"<script>{source}</script>")
    return PAGE % "\n".join(scripts)


def main() -> int:
    if not Path("dvc.yaml").is_file():
        print("dvc.yaml does not exist here; run this from the root of the repository", file=sys.stderr)
        return 1
    try:
        page = template()
    except FileNotFoundError as error:
        print(
            f"this version of Snakemake does not ship {error.filename}, so dvc plots needs the network", file=sys.stderr
        )
        return 1
    TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
    TEMPLATE.write_text(page, encoding="utf-8")
    print(f"written: {TEMPLATE}\ndvc plots diff --html-template {TEMPLATE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
