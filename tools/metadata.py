"""`python -m tools.metadata` writes what archives read of a release: `.zenodo.json` and `codemeta.json`.

Both follow from CITATION.cff (title, authors, version, date, licence, abstract, keywords, the paper) and from
pyproject.toml (the packages that are needed). So a fact is edited there, and these two files are made anew.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def citation() -> dict[str, Any]:
    """CITATION.cff, dates as text."""
    content = yaml.load((ROOT / "CITATION.cff").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    return {**content, "abstract": " ".join(content["abstract"].split())}


def zenodo() -> dict[str, Any]:
    """A deposit of Zenodo, as its API for uploads names the fields."""
    cited = citation()
    return {
        "upload_type": "software",
        "title": cited["title"],
        "creators": [{"name": _reversed(author)} for author in cited["authors"]],
        "description": cited["abstract"],
        "version": cited["version"],
        "publication_date": cited["date-released"],
        "license": cited["license"],
        "access_right": "open",
        "language": "eng",
        "keywords": cited["keywords"],
        "references": [
            f"{'; '.join(map(_reversed, paper['authors']))}: {paper['title']}. {paper['institution']['name']}."
            for paper in cited["references"]
        ],
    }


def codemeta() -> dict[str, Any]:
    """The terms of CodeMeta 3.0."""
    cited = citation()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": cited["title"],
        **({"identifier": f"https://doi.org/{cited['doi']}"} if "doi" in cited else {}),
        "author": [_agent(author) for author in cited["authors"]],
        "description": cited["abstract"],
        "version": cited["version"],
        "datePublished": cited["date-released"],
        "license": f"https://spdx.org/licenses/{cited['license']}",
        "keywords": cited["keywords"],
        "programmingLanguage": "Python",
        "runtimePlatform": f"Python {project['requires-python']}",
        "softwareRequirements": project["dependencies"],
        "referencePublication": [
            {
                "@type": "ScholarlyArticle",
                "name": paper["title"],
                "author": [_agent(author) for author in paper["authors"]],
                "sourceOrganization": {"@type": "Organization", "name": paper["institution"]["name"]},
            }
            for paper in cited["references"]
        ],
    }


FILES = {".zenodo.json": zenodo, "codemeta.json": codemeta}


def text(name: str) -> str:
    """The content of one of `FILES`."""
    return json.dumps(FILES[name](), indent=2, ensure_ascii=False) + "\n"


def _reversed(author: dict[str, str]) -> str:
    return author.get("name") or f"{author['family-names']}, {author['given-names']}"


def _agent(author: dict[str, str]) -> dict[str, str]:
    if "name" in author:
        return {"@type": "Organization", "name": author["name"]}
    return {"@type": "Person", "givenName": author["given-names"], "familyName": author["family-names"]}


if __name__ == "__main__":
    for name in FILES:
        (ROOT / name).write_text(text(name), encoding="utf-8")
