"""Threads, memory, time and retries of cluster jobs follow from the study, and the rates from the record."""

import json
from pathlib import Path

import pytest

from megan.config import params as parameters
from megan.stages import registry
from workflow import needs

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results/record/omniglot_2500"
DAY = 24 * 60


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def needed(study: str, address: str, longest: int = DAY, gpu: bool = False, own: int = 0) -> needs.Needs:
    params = parameters.load(study=study)
    return needs.needs(params, registry.stages(params)[address], longest, gpu, own)


def test_the_rates_are_those_of_the_record():
    """Each estimate of the record's own study, on one core, is what the record's provenance says."""
    params = parameters.load(study="omniglot_2500")
    stages = registry.stages(params)
    for name in ("train-maml", "train-n_plus_1", "test-maml", "test-n_plus_1", "judge", "gan"):
        told = json.loads((RECORD / f"provenance/{name}.json").read_text())["wall_seconds"]
        assert needs.core_seconds(params, stages[name.replace("-", "@")]) == pytest.approx(told, rel=0.05), name


def test_every_job_of_every_study_has_needs():
    for study in parameters.load().studies:
        params = parameters.load(study=study)
        for stage in registry.stages(params).values():
            if stage.name in needs.JOBS:
                for gpu in (False, True):
                    found = needs.needs(params, stage, DAY, gpu)
                    assert 0 < found.runtime <= DAY and found.threads >= 1 and found.mem_mb >= 2000
                    assert found.retries >= needs.SPARE_RETRIES and found.gpu == gpu


def test_longer_studies_get_more_time_and_larger_images_more_memory():
    quick, full = (needed(study, "train@maml", longest=10**6) for study in ("quick", "omniglot"))
    assert full.runtime > 20 * quick.runtime
    assert needed("mini_imagenet", "train@maml").mem_mb > 2 * needed("omniglot", "train@maml").mem_mb


def test_a_limit_that_cuts_a_job_gives_it_retries():
    whole = needed("omniglot", "train@n_plus_1", longest=10**6)
    cut = needed("omniglot", "train@n_plus_1", longest=60)
    assert cut.runtime == 60
    assert (cut.retries - needs.SPARE_RETRIES + 1) * 60 >= whole.runtime - needs.START


def test_threads_are_no_more_than_chunks_of_tasks_and_the_users_own_number_wins():
    assert needed("quick", "train@maml").threads == 4  # 8 tasks of two seeds, in chunks of 4
    assert needed("omniglot", "train@maml").threads == needs.MOST_THREADS
    assert needed("omniglot", "train@maml", own=3).threads == 3
    assert needed("quick", "encoder").threads == needs.ALONE_THREADS
