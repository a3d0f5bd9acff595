"""Every rule that reads a run's record: what passes, and one departure that this rule alone sees as so bad."""

from typing import Any

import pytest

from satgan.doctor.finding import at_least
from satgan.doctor.records import Corrupt, RunRecord, Twin
from satgan.doctor.rules import examine
from satgan.doctor.run_rules import RUN_CHECKS
from tests.doctor.conftest import codes
from tests.doctor.records import EVENTS, run_record

LATE = 1000
"""A step from which something is wrong."""


def since(numbers: dict[str, float], before: dict[str, float] | None = None) -> RunRecord:
    """A run whose numbers are these from LATE on."""
    return run_record(numbers=lambda step: numbers if step > LATE else before or {})


def inputs(lowest: float, highest: float, channels_last: bool = True) -> tuple[dict[str, Any], ...]:
    """What the journal notes of a first batch."""
    return ({"step": 0, "event": "inputs", "lowest": lowest, "highest": highest, "channels_last": channels_last},)


def judged(ratio: float) -> tuple[dict[str, Any], ...]:
    """Two judgements with this ratio of `memory`."""
    scores = {"memory": {"value": 0.9 * ratio, "floor": 0.9, "ratio": ratio}}
    return tuple({"step": step, "event": "judged", "score": 3.0, "scores": scores} for step in (500, 1000))


def grids(value: float, ratio: float, *steps: int) -> tuple[dict[str, Any], ...]:
    """Judgements with this `checkerboard`."""
    scores = {"checkerboard": {"value": value, "floor": value / ratio, "ratio": ratio}}
    return tuple({"step": step, "event": "judged", "score": 3.0, "scores": scores} for step in steps)


START = EVENTS[0]
BARE = ({"step": 500, "event": "judged", "score": 3.0, "scores": {name: {"value": 0.5} for name in "abc"}},)
UNJUDGED = [{"step": step, "event": "unjudged", "why": "the judge failed"} for step in (500, 1000, 1500)]
FAILED = {"step": 1000, "event": "checkpoint_failed", "found": "403", "remedy": "ask for it", "stands": 500}
KEPT = [{"step": step, "event": "checkpoint"} for step in range(500, 5501, 500)]
LEFT_OUT = [{"step": step, "event": "left_out", "under_way": 500} for step in (1000, 1500, 2000)]
BROKEN: dict[str, tuple[str, str, RunRecord]] = {
    "over-budget": ("S02", "error", run_record(groups={"train": {"budget_hours": 1}})),
    "waiting": ("S04", "warning", run_record(timing=lambda step: {"waited_share": 0.1})),
    "no-entry": ("S05", "warning", run_record(logged=False)),
    "twin": ("S06", "warning", run_record(twin=Twin("other", 40))),
    "few-tiles": ("S07", "error", run_record(events=(START | {"tiles": 3},))),
    "copies": ("S07", "error", run_record(events=judged(0.1))),
    "bytes": ("S08", "error", run_record(events=inputs(0.0, 255.0, True))),
    "litter": ("S09", "warning", run_record(checkpoints=9)),
    "unwritten": ("S09", "warning", run_record()._replace(events=[START, FAILED])),
    "unwritten-for-long": (
        "S09", "error", run_record()._replace(events=[START, *KEPT, FAILED | {"step": 5500, "stands": 500}])
    ),
    "late": ("S09", "warning", run_record()._replace(events=[START, *LEFT_OUT])),
    "corrupt": ("S09", "error", run_record(corrupt=Corrupt("state.json is gone; the run goes on from step 500", ""))),
    "unseen": ("S10", "warning", run_record(pictures=0)),
    "layout": ("S11", "warning", run_record(events=inputs(-1.0, 1.0, False))),
    "twice": ("S12", "error", run_record(events=inputs(-1.0, -0.992, True))),
    "leak": ("S14", "warning", run_record(timing=lambda step: {"resident_megabytes": 500 + step * 0.3})),
    "gpu-leak": ("S14", "error", run_record(timing=lambda step: {"gpu_megabytes": 500 + step * 3.0})),
    "drift": ("S23", "error", since({"norm_drift.generator": 2.0})),
    "drift-of-the-other": ("S23", "error", since({"norm_drift.discriminator": 2.0})),
    "regularizer": ("S25", "error", run_record(numbers=lambda step: {"discriminator_regularizer_after": 200.0})),
    "regularizer-of-g": ("S25", "error", run_record(numbers=lambda step: {"generator_regularizer_after": 200.0})),
    "checkerboard": ("S27", "warning", run_record(numbers=lambda step: {"stride_energy.fakes": 0.3})),
    "judged-grid": ("S27", "info", run_record(events=grids(3.2, 30.0, 2400, 2800))),
    "threads": ("S28", "error", run_record(groups={"train": {"threads_per_lane": 8}})),
    "upper-half": ("S29", "warning", run_record(events=inputs(0.0, 1.0, True))),
    "not-finite": ("S31", "error", run_record(events=({"step": 1010, "event": "diverged", "found": "x = nan"},))),
    "loss": ("S31", "error", since({"real_loss_before": 60.0})),
    "large-steps": ("S31", "error", since({"update_norm.generator": 4.0})),
    "large-steps-of-the-other": ("S31", "error", since({"update_norm.discriminator": 4.0})),
    "generator-loss": ("S31", "error", since({"generator_loss_before": 60.0})),
    "still": ("S36", "error", since({"update_norm.discriminator": 1e-7})),
    "chance": ("S36", "warning", since({"reals_called_fake": 0.5, "fakes_called_real": 0.5})),
    "pinned": ("S37", "error", since({"fake_loss_before": 1e-4})),
    "subdued": ("S37", "error", since({"fake_loss_before": 9.0})),
    "collapse": ("S37", "error", since({"spread.fakes": 0.001})),
    "one-path": ("S39", "warning", run_record(numbers=lambda step: {"path_a": 0.0})),
    "saturated": ("G02", "error", since({"saturated_share.fakes": 0.7})),
    "fading": ("G03", "warning", since({"gradient_norm.generator.projection": 1e-5})),
    "fading-of-the-other": ("G03", "warning", since({"gradient_norm.discriminator.projection": 1e-5})),
    "sparse-of-the-other": ("G03", "warning", since({"gradient_zero_share.generator.convolutions.1": 0.7})),
    "sparse": ("G03", "warning", since({"gradient_zero_share.discriminator.convolutions.1": 0.7})),
    "outrun": ("G04", "warning", since({"fake_loss_before": 0.01})),
    "outrunning": ("G04", "warning", since({"fake_loss_before": 1.6})),
    "no-floor": ("G06", "warning", run_record(events=BARE)),
    "unjudged": ("G06", "warning", run_record()._replace(events=UNJUDGED)),
}  # fmt: skip


def test_a_healthy_run_passes() -> None:
    for steps in (0, 20, 200, 500, 3000):
        assert examine([run_record(steps)]) == []


def test_what_a_resume_has_undone_is_no_finding() -> None:
    """What befell the attempts before stays in the journal, at later steps."""
    undone: tuple[dict[str, Any], ...] = (
        {"step": 1010, "event": "diverged", "found": "x = nan"},
        FAILED | {"step": 3000},
        *LEFT_OUT,
    )
    resumed = {"step": 500, "event": "resume"}
    events: list[Any] = [START, *undone, resumed, *run_record().events[1:]]
    assert examine([run_record()._replace(events=events)]) == []
    (finding,) = examine([run_record()._replace(events=[*events, FAILED])])
    (alone,) = examine([run_record()._replace(events=[START, *run_record().events[1:], FAILED])])
    assert finding == alone


def test_every_check_of_a_run_has_its_broken_case() -> None:
    broken = {code: sum(found == code for found, _, _ in BROKEN.values()) for code in RUN_CHECKS}
    assert all(broken[code] >= len(checks) for code, checks in RUN_CHECKS.items())


@pytest.mark.parametrize(("code", "level", "record"), BROKEN.values(), ids=BROKEN)
def test_a_departure_is_seen_by_its_rule_alone(code: str, level: str, record: RunRecord) -> None:
    """A network that is always right or wrong is also one that outruns the other: G04 says that as a warning."""
    findings = examine([record])
    worst = at_least(findings, "error") or findings
    assert [(finding.rule, finding.level) for finding in worst] == [(code, level)]
    assert set(codes(findings)) <= {code, "G04"}
    assert all(finding.action for finding in findings)


@pytest.mark.parametrize("name", ["drift", "loss", "large-steps", "still", "pinned", "collapse", "saturated"])
def test_since_when_is_told(name: str) -> None:
    """The median passes its limit in the middle of the window in which things turned."""
    finding = at_least(examine([BROKEN[name][2]]), "error")[0]
    assert finding.since_step is not None
    assert LATE < finding.since_step <= LATE + 260


@pytest.mark.parametrize(("fakes", "found"), [(0.03, []), (0.06, ["S27"])])
def test_a_checkerboard_that_can_be_seen_is_told_from_what_runs_have_anyway(fakes: float, found: list[str]) -> None:
    """S27: of reals that have 0.001, as measured. Not before step 2,000: until then every run has one."""
    energy = {"stride_energy.fakes": fakes, "stride_energy.reals": 0.001}
    assert codes(examine([run_record(4000, numbers=lambda step: energy)])) == found
    assert examine([run_record(2000, numbers=lambda step: energy)]) == []


@pytest.mark.parametrize(
    ("value", "ratio", "steps", "found"),
    [
        (2.7, 24.0, (2400, 3200), ["S27"]),
        (2.7, 24.0, (800, 1600), []),
        (2.7, 24.0, (3200,), []),
        (0.6, 5.0, (2400, 3200), []),
        (1.2, 1.9, (2400, 3200), []),
    ],
)
def test_a_grid_that_the_judge_sees_is_told_by_value_and_ratio(
    value: float, ratio: float, steps: tuple[int, ...], found: list[str]
) -> None:
    """S27: as `demo` has it, and not as `digits` has, nor where so few tiles are judged that reals have as much."""
    findings = examine([run_record(4000, events=grids(value, ratio, *steps))])
    assert [finding.rule for finding in findings] == found
    assert all(finding.level == "info" and "24 times its floor" in finding.found for finding in findings)


def test_one_odd_batch_is_no_finding() -> None:
    def odd(step: int) -> dict[str, float]:
        return {"real_loss_before": 90.0, "spread.fakes": 0.0, "fake_loss_before": 9.0} if step % 100 == 0 else {}

    assert examine([run_record(numbers=odd)]) == []


def test_memory_that_was_taken_once_is_no_leak() -> None:
    """S14: at a checkpoint, say; however late, and however much."""
    for taken in range(2400, 3001, 60):

        def held(step: int, taken: int = taken) -> dict[str, float]:
            return {"resident_megabytes": 500.0 + 300.0 * (step > taken), "gpu_megabytes": 900.0 - step / 10}

        assert examine([run_record(timing=held)]) == [], taken


@pytest.mark.parametrize("loss", [9.0, 1e-4])
def test_how_a_run_begins_is_no_error_of_balance(loss: float) -> None:
    """S37: runs on digits have had a subdued discriminator in their first 500 steps, and got well. G04 warns of it."""
    begins = run_record(960, numbers=lambda step: {"fake_loss_before": loss})
    assert [(one.rule, one.level) for one in examine([begins])] == [("G04", "warning")]
    goes_on = run_record(1000, numbers=lambda step: {"fake_loss_before": loss})
    assert [one.rule for one in at_least(examine([goes_on]), "error")] == ["S37"]


@pytest.mark.parametrize("then", ["checkpoint_whole", "resume", "end"])
def test_a_checkpoint_that_is_whole_in_the_end_is_no_finding(then: str) -> None:
    """S09: written by a later attempt, or found whole by one who resumed."""
    assert examine([run_record()._replace(events=[START, FAILED, START | {"step": 1000, "event": then}])]) == []


def test_a_store_that_keeps_up_again_is_no_finding() -> None:
    """S09: however many were left out; nor is one, now and then."""
    assert examine([run_record()._replace(events=[START, *LEFT_OUT, {"step": 2500, "event": "checkpoint"}])]) == []
    assert examine([run_record()._replace(events=[START, *LEFT_OUT[:2]])]) == []


def test_what_is_over_is_no_finding() -> None:
    assert examine([run_record(numbers=lambda step: {"fake_loss_before": 9.0} if step < LATE else {})]) == []
