"""What follows from other options unless it is given: rates from the batch (S31), filters from the kernel (S20)."""

import math
from collections.abc import Sequence

RATES_AT_64 = {"generator_learning_rate": 2e-4, "discriminator_learning_rate": 1.5e-4}
"""The second article's rates for its batch of 64."""

LARGEST_RATE = 1e-3
"""Its rate for a batch of 512, for both networks; no larger batch gets more."""


def learning_rate(name: str, batch: int) -> float:
    """The power law through (64, the article's rate) and (512, 1e-3), in six digits (S31).

    Args:
        name: of an option in RATES_AT_64.
        batch: tiles of the global batch: lanes · lane_batch.
    """
    rate_at_64 = RATES_AT_64[name]
    exponent = math.log(LARGEST_RATE / rate_at_64) / math.log(512 / 64)
    return min(LARGEST_RATE, float(f"{rate_at_64 * (batch / 64) ** exponent:.6g}"))


def doublings(size: int, stem: int) -> int:
    """log2(size / stem), rounded down; 0 where the size is smaller."""
    return max(0, int(math.log2(size / stem)))


STEMS = (4, 7)


def stem_of(size: int) -> int | None:
    """The stem that gives a size when it is doubled, once or more often; None: none does. Two never do."""
    return next((stem for stem in STEMS if size >= 2 * stem and size == stem * 2 ** doublings(size, stem)), None)


def fitting_sizes(size: int, stem: int) -> str:
    """What to do about a size that is not stem · 2ⁿ."""
    if (other := stem_of(size)) is not None:
        return f"with --gan.stem {other} it is"
    return f"with stem {stem} choose one of {', '.join(str(stem * 2**n) for n in range(1, 8))}"


def ladder_of(filters: Sequence[int], doublings: int) -> tuple[int, ...]:
    """As many filters as doublings: the first of those given, then each half of the one before."""
    ladder = list(filters[:doublings])
    while len(ladder) < doublings:
        ladder.append(max(1, ladder[-1] // 2))
    return tuple(ladder)


def kernel_factor(kernel_size: int, preset_kernel_size: int) -> float:
    """The power of two nearest to the ratio of the two kernels' areas (S20).

    The article goes from 1024 filters of 5×5 to 4096 of 11×11: the areas are as 4.84 to 1, the filters as 4 to 1.
    """
    return float(2.0 ** round(2 * math.log2(kernel_size / preset_kernel_size)))


def filters_for(
    preset_filters: Sequence[int], preset_kernel_size: int, kernel_size: int, doublings: int
) -> tuple[int, ...]:
    """A preset's filters, brought to another size (S01) and another kernel (S20)."""
    factor = kernel_factor(kernel_size, preset_kernel_size)
    return tuple(max(1, round(factor * filters)) for filters in ladder_of(preset_filters, doublings))
