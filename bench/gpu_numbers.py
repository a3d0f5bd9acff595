"""Whether the fast ways compute the same: as the plain loop, replayed steps to the bit, bfloat16 within what another
seed changes."""

from collections.abc import Iterator
from statistics import fmean

import torch

from bench.agreement import check_config, largest_difference
from bench.gpu_row import LeftOut, Row, Setting, judged
from bench.variants import OurStep, make_batches
from satgan.config import Config
from satgan.train.device import decide, fast_precision

AGREEMENT_STEPS = 4
STEPS, WINDOW = 200, 20
BAND = 1.5
"""Times the largest difference between runs of two seeds in float32."""

LOSSES = ("real_loss_before", "fake_loss_before", "generator_loss_before")


def agreement_rows(setting: Setting) -> Iterator[Row]:
    """Plain and ours lose the same on small networks."""
    for preset in ("article", "dcgan"):
        apart = largest_difference(check_config(preset), setting.device, AGREEMENT_STEPS)
        what = f"plain and ours, small `{preset}`, float32, {AGREEMENT_STEPS} steps"
        yield Row(what, f"losses at most {apart:.1g} apart", "stated")


def replay_rows(setting: Setting) -> Iterator[Row]:
    """The whole recipe, replayed and computed: the same weights after some steps."""
    if setting.device.type != "cuda":
        raise LeftOut("there are no graphs on a CPU; tests/gan/test_graphs.py replays there in its own way")
    for preset, lanes in (("dcgan", 1), ("dcgan", 3), ("article", 1)):
        config = decide(setting.config(preset, 64, lanes=lanes))
        batches = make_batches(config, setting.device)
        computed, replayed = (OurStep(config, batches, setting.device, recorded) for recorded in (False, True))
        for turn in range(STEPS // 10):
            computed.step(turn)
            replayed.step(turn)
            if turn % 3 == 2:
                computed.learn_history(turn)
                replayed.learn_history(turn)
        if why := replayed.pair.why_not_recorded():
            yield Row(f"graphs, `{preset}`, {lanes} lane(s)", f"not recorded: {why}", "recorded", verdict="missed")
            continue
        pairs = zip(_weights(replayed), _weights(computed), strict=True)
        furthest = max(float((mine - theirs).abs().max()) for mine, theirs in pairs)
        verdict = "reached" if furthest == 0 else "missed"
        figure = f"weights at most {furthest:.3g} apart after {STEPS // 10} steps"
        yield Row(f"graphs, `{preset}`, {lanes} lane(s)", figure, "the bits of computed steps", verdict=verdict)


def precision_rows(setting: Setting) -> Iterator[Row]:
    """Losses of `dcgan` in the fast precision and in float32, means over windows of steps."""
    if fast_precision() == "float32":
        raise LeftOut("this machine computes in float32 only")
    steps = setting.steps(STEPS)
    base = setting.config("dcgan", 64)
    plain, fast, other = (
        _windows(_with(base, seed, precision), setting, steps)
        for seed, precision in ((1, "float32"), (1, "bfloat16"), (2, "float32"))
    )
    for name in LOSSES:
        mine, seeds = (
            max(abs(one - another) for one, another in zip(plain[name], others[name], strict=True))
            for others in (fast, other)
        )
        what = f"bfloat16 against float32, {name.removesuffix('_before')}, {steps} steps"
        figure = f"at most {mine:.3g} apart (two seeds: {seeds:.3g}), means of {WINDOW} steps"
        yield judged(what, figure, f"≤ {BAND} × two seeds' distance", BAND * seeds / max(mine, 1e-9))


def _with(config: Config, seed: int, precision: str) -> Config:
    train = config.train.model_copy(update={"seed": seed, "precision": precision})
    return decide(config.model_copy(update={"train": train}))


def _windows(config: Config, setting: Setting, steps: int) -> dict[str, list[float]]:
    """Mean losses of each window, by name."""
    batches = make_batches(config, setting.device, count=min(steps, 32))
    ours = OurStep(config, batches, setting.device)
    told = [ours.step(turn) for turn in range(steps)]
    windows = [told[first : first + WINDOW] for first in range(0, steps, WINDOW)]
    return {name: [fmean(numbers[name] for numbers in window) for window in windows] for name in LOSSES}


def _weights(ours: OurStep) -> list[torch.Tensor]:
    return [ours.pair.generator.weights, ours.pair.discriminator.weights, ours.pair.average]
