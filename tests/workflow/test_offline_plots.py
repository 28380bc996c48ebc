"""`dvc plots` without a network."""

import sys


def test_page_holds_all_it_needs(finished, spare):
    project = spare(finished[0])
    told = project.run(f"{sys.executable} tools/offline_plots.py")
    assert "dvc plots diff --html-template .dvc/tmp/offline_plots.html" in told
    project.run(
        "dvc plots diff --html-template .dvc/tmp/offline_plots.html"
        " --targets results/quick/tables/curves_mean.csv -x meta_step -y accuracy"
    )  # fmt: skip
    page = project.path("dvc_plots/index.html").read_text(encoding="utf-8")
    assert "<script src" not in page and "cdn." not in page
    assert page.count("</script>") == 4, "three libraries and the plot"
    assert '"field": "accuracy"' in page and "vegaEmbed('#" in page


def test_elsewhere_it_says_where_to_run(original, tmp_path):
    project = type(original)(tmp_path, original.environment)
    told = project.run(f"{sys.executable} {original.path('tools/offline_plots.py')}", expect=1)
    assert told == "dvc.yaml does not exist here; run this from the root of the repository\n"
