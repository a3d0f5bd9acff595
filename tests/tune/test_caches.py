"""Where trials keep what they read of a bucket: each machine says, and `auto` sees whether there is room."""

import os

import pytest

from satgan.config import load_config
from satgan.sweep_verbs import plan_from, sweep_parser
from satgan.tiles.cache import ENVIRONMENT_NAME
from satgan.tiles.shards import pack
from tests.train.conftest import made_tiles
from tune.trial_run import default_cache_folder


def test_a_sweep_over_a_bucket_leaves_the_choice_to_each_machine(s3_prefix: str, small: str, rates: str) -> None:
    pack(made_tiles(), f"{s3_prefix}/tiles", size=16, channels=3, seed=1, source="made", cut={})
    words = [rates, "article", "--config", small, "--tiles", f"{s3_prefix}/tiles", "--store", f"{s3_prefix}/store"]
    for more, kind, folder in (((), "auto", None), (("--tiles.cache-folder", "/scratch"), "auto", "/scratch")):
        plan = plan_from(sweep_parser([*words, *more]).parse_all([*words, *more]))
        tiles = plan.trial({}, 1).config.tiles
        assert (tiles.cache, tiles.cache_folder) == (kind, folder)


def test_only_a_machine_that_names_no_folder_gets_one_and_only_for_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    local = load_config("demo", {"tiles": {"source": "/tiles"}})
    bucket = load_config("demo", {"tiles": {"source": "s3://bucket/tiles"}})
    monkeypatch.setenv(ENVIRONMENT_NAME, "/mnt/scratch")
    default_cache_folder(bucket)
    assert os.environ[ENVIRONMENT_NAME] == "/mnt/scratch"
    monkeypatch.delenv(ENVIRONMENT_NAME)
    default_cache_folder(local)
    assert ENVIRONMENT_NAME not in os.environ
    default_cache_folder(bucket)
    assert os.environ[ENVIRONMENT_NAME].endswith("satgan-cache")
