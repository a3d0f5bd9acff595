"""The 45 rules (recipe.md), in order, and the one way to ask them: records in, findings out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from satgan.doctor.config_rules import CONFIG_CHECKS
from satgan.doctor.finding import Finding
from satgan.doctor.records import ConfigRecord, RunRecord, TilesRecord
from satgan.doctor.run_rules import RUN_CHECKS
from satgan.doctor.tiles_rules import TILES_CHECKS
from satgan.errors import ConfigError, nearest

Record = ConfigRecord | TilesRecord | RunRecord


class Rule(NamedTuple):
    """A rule's code and slug; where no option, set or run can depart from it, the test that keeps it so."""

    code: str
    slug: str
    test: str = ""

    @property
    def when(self) -> str:
        """What is looked at: `config, tiles, run`, or `by construction`."""
        if self.test:
            return "by construction"
        looks = (("config", CONFIG_CHECKS), ("tiles", TILES_CHECKS), ("run", RUN_CHECKS))
        return ", ".join(what for what, checks in looks if self.code in checks)


RULES = (
    Rule("S01", "standard-architecture"),
    Rule("S02", "compute-budget"),
    Rule("S03", "train-on-gpu"),
    Rule("S04", "tiles-in-memory"),
    Rule("S05", "observation-log"),
    Rule("S06", "seeded"),
    Rule("S07", "consistent-tiles"),
    Rule("S08", "scaled-input"),
    Rule("S09", "checkpoint-often"),
    Rule("S10", "look-at-samples"),
    Rule("S11", "memory-layout"),
    Rule("S12", "scaled-once"),
    Rule("S13", "plain-arrays", "tests/test_house.py::test_a_file_keeps_the_import_rules"),
    Rule("S14", "no-orphans"),
    Rule(
        "S15", "loss-after-update",
        "tests/gan/test_step.py::test_losses_after_the_update_are_those_of_the_new_weights",
    ),
    Rule("S16", "symmetric-networks", "tests/gan/test_networks.py::test_discriminator_mirrors_generator"),
    Rule("S17", "tanh-output", "tests/gan/test_networks.py::test_tiles_are_the_tanh_of_the_last_convolution"),
    Rule("S18", "zero-bias", "tests/gan/test_networks.py::test_first_weights_are_glorot_and_biases_zero"),
    Rule("S19", "xavier-init", "tests/gan/test_networks.py::test_first_weights_are_glorot_and_biases_zero"),
    Rule("S20", "filter-banks"),
    Rule("S21", "strided-convolution", "tests/gan/test_networks.py::test_only_convolutions_change_the_resolution"),
    Rule("S22", "leaky-relu"),
    Rule("S23", "batch-norm"),
    Rule("S24", "regularize"),
    Rule("S25", "regularizer-share"),
    Rule("S26", "no-norm-at-ends", "tests/gan/test_networks.py::test_no_norm_at_the_two_ends"),
    Rule("S27", "checkerboard"),
    Rule("S28", "spare-core"),
    Rule("S29", "minus-one-to-one"),
    Rule("S30", "enough-steps"),
    Rule("S31", "learning-rate"),
    Rule("S32", "own-optimizers", "tests/gan/test_step.py::test_four_adams_share_no_state"),
    Rule("S33", "history"),
    Rule("S34", "history-from-batch", "tests/gan/test_step.py::test_a_kept_fake_gets_the_logit_it_got"),
    Rule("S35", "history-range", "tests/gan/test_step.py::test_a_kept_fake_gets_the_logit_it_got"),
    Rule("S36", "discriminator-first"),
    Rule("S37", "equal-power"),
    Rule("S38", "pure-batches", "tests/gan/test_step.py::test_real_and_fake_never_share_a_batch"),
    Rule("S39", "free-training"),
    Rule(
        "G01", "tanh-not-sigmoid",
        "tests/tiles/test_pixels.py::test_numbers_outside_are_clipped_and_between_are_rounded",
    ),
    Rule("G02", "few-filters"),
    Rule("G03", "dense-gradients"),
    Rule("G04", "balance-rates"),
    Rule("G05", "start-small"),
    Rule("G06", "compare"),
)  # fmt: skip
BY_CODE: Mapping[str, Rule] = {rule.code: rule for rule in RULES}


EVERY = frozenset(BY_CODE)
OF_THE_MACHINE = ("S02", "S03", "S06", "S28")
"""Rules on a config that also look at the machine that is to compute."""


def choose(select: Iterable[str], ignore: Iterable[str]) -> frozenset[str]:
    """Codes of all rules, or of those in `select`, without those in `ignore`.

    Raises:
        ConfigError: a code that is none.
    """
    select, ignore = set(select), set(ignore)
    for code in sorted(select | ignore):
        if code not in BY_CODE:
            raise ConfigError(f"no rule has the code {code!r}", nearest(code, BY_CODE))
    return frozenset((select or set(BY_CODE)) - ignore)


def examine(records: Sequence[Record], codes: frozenset[str] = EVERY) -> list[Finding]:
    """What the rules find in the records, in the order of the table; of a rule's several checks each may find."""
    found = [finding for record in records for finding in _found(record)]
    order = list(BY_CODE)
    return sorted(
        (finding for finding in found if finding.rule in codes), key=lambda finding: order.index(finding.rule)
    )


def asked(records: Sequence[Record], codes: frozenset[str] = EVERY) -> set[str]:
    """The codes of those rules that look at such records."""
    kinds = ((ConfigRecord, CONFIG_CHECKS), (TilesRecord, TILES_CHECKS), (RunRecord, RUN_CHECKS))
    looking = [set(checks) for kind, checks in kinds if any(isinstance(record, kind) for record in records)]
    return set[str]().union(*looking) & codes


def _found(record: Record) -> list[Finding]:
    if isinstance(record, ConfigRecord):
        found = [check(record) for checks in CONFIG_CHECKS.values() for check in checks]
    elif isinstance(record, TilesRecord):
        found = [check(record) for checks in TILES_CHECKS.values() for check in checks]
    else:
        found = [check(record) for checks in RUN_CHECKS.values() for check in checks]
    return [finding for finding in found if finding]
