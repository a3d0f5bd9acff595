"""Steps of `article` and `dcgan` on a GPU: tiles per second beside goals, roofs and the plain loop."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from bench.gpu_row import Row, Setting, judged
from bench.measure import measure
from bench.variants import Variant, make_batches, plain, same, whole_recipe
from satgan.config import Config
from satgan.gan.describe import step_flops
from satgan.train.device import fast_precision

SECONDS = 60.0
LEAST_ARTICLE, LEAST_DCGAN = 10_300, 110_000
"""Tiles per second: 40 % and 35 % of an H200's roof."""

Build = Callable[[], Variant]


class Figures:
    """Several ways to train, timed in turn; tiles per second by name."""

    def __init__(self, setting: Setting, builds: dict[str, tuple[Config, Callable[..., Variant]]]) -> None:
        self._setting = setting
        ready: list[Build] = []
        for config, way in builds.values():
            ready.append(partial(way, config, make_batches(config, setting.device), setting.device))
        measured = measure(ready, setting.device, setting.effort, SECONDS)
        self.by_name = dict(zip(builds, measured, strict=True))

    def tiles_per_second(self, name: str) -> float:
        """Median over the rounds."""
        train = self.by_name[name].variant.config.train
        return train.lanes * train.lane_batch / median(self.by_name[name].step_seconds)

    def roof_share(self, name: str) -> float:
        """Of what the FLOPs of this very work would allow."""
        flops = step_flops(self.by_name[name].variant.config)
        return self.tiles_per_second(name) * flops / self._setting.roof_flops_per_second

    def told(self, name: str) -> str:
        """For the table."""
        return f"{self.tiles_per_second(name):,.4g} tiles/s, {self.roof_share(name):.1%} of roof"

    def ratio(self, name: str, other: str) -> float:
        """Of the tiles per second: median over the rounds."""
        mine, theirs = (self.by_name[one] for one in (name, other))
        tiles = [one.variant.config.train.lanes * one.variant.config.train.lane_batch for one in (mine, theirs)]
        pairs = zip(mine.step_seconds, theirs.step_seconds, strict=True)
        return median(tiles[0] / one / (tiles[1] / another) for one, another in pairs)


def article_rows(setting: Setting) -> Iterator[Row]:
    """The article's own pair: at batch 512, and in lanes of 64."""
    fast = partial(same, precision=fast_precision())
    large, lane = setting.config("article", 512), setting.config("article", 64)
    found = Figures(
        setting,
        {
            "one and one": (large, fast),
            "any algorithm": (large, partial(fast, deterministic=False)),
            "recipe": (large, whole_recipe),
            "lane": (lane, fast),
            "lanes": (setting.config("article", 64, lanes=2 if setting.is_smoke else 8), fast),
            "lane direct": (lane, partial(fast, recorded=False)),
            "plain": (large, plain),
        },
    )
    speed = found.tiles_per_second("one and one")
    what = f"`article`, one D and one G update, batch {large.train.lane_batch}, {fast_precision()}"
    yield judged(what, found.told("one and one"), f"≥ {LEAST_ARTICLE:,} tiles/s", speed / LEAST_ARTICLE)
    yield Row(
        "… the plain loop, float32", found.told("plain"), share=f"ours {found.ratio('one and one', 'plain'):.2f}×"
    )
    price = found.ratio("one and one", "any algorithm")
    yield Row("… `train.deterministic` no", found.told("any algorithm"), share=f"reproducible {price:.2f}×")
    yield judged("… the whole recipe", found.told("recipe"), "≥ 40 % of its roof", found.roof_share("recipe") / 0.4)
    share = found.ratio("lane", "one and one") / 0.75
    yield judged("… one lane of 64", found.told("lane"), "≥ 75 % of batch 512's", share)
    direct = found.ratio("lane", "lane direct")
    yield Row("… one lane of 64, no graphs", found.told("lane direct"), share=f"graphs {direct:.2f}×")
    # Less than three in a hundred is what medians of such rounds differ by anyhow.
    yield judged("… 8 lanes of 64", found.told("lanes"), "as fast as one", found.ratio("lanes", "lane"), least=0.97)


def dcgan_rows(setting: Setting) -> Iterator[Row]:
    """The small network, which launches bound."""
    fast = partial(same, precision=fast_precision())
    small, large = setting.config("dcgan", 64), setting.config("dcgan", 512)
    found = Figures(
        setting,
        {
            "plain": (small, plain),
            "fast": (small, fast),
            "direct": (small, partial(fast, recorded=False)),
            "recipe": (small, whole_recipe),
            "large": (large, fast),
        },
    )
    ratio = found.ratio("fast", "plain")
    yield judged("`dcgan`, one D and one G update, batch 64", found.told("fast"), "≥ 10× the plain loop", ratio / 10)
    yield Row("… the plain loop, float32", found.told("plain"), share=f"ours {ratio:.2f}×")
    yield Row("… no graphs", found.told("direct"), share=f"graphs {found.ratio('fast', 'direct'):.2f}×")
    yield Row("… the whole recipe", found.told("recipe"))
    speed = found.tiles_per_second("large")
    yield judged("`dcgan`, batch 512", found.told("large"), f"≥ {LEAST_DCGAN:,} tiles/s", speed / LEAST_DCGAN)
