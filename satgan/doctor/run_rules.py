"""What can be seen in a run's record of its inputs, its machine and its files: records in, findings out."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import median_low

from satgan.doctor.finding import Finding
from satgan.doctor.judged_rules import grid_is_judged, scores_lack_references, tiles_are_copied
from satgan.doctor.limits import graded
from satgan.doctor.records import Event, RunRecord, newest_attempt
from satgan.doctor.training_rules import TRAINING_CHECKS, checkerboard
from satgan.doctor.windows import lasting

RunCheck = Callable[[RunRecord], Finding | None]

MEMORY_ENTRIES = 30
"""Log steps whose thirds are compared."""


def _last(record: RunRecord, *kinds: str) -> Event | None:
    return next((event for event in reversed(record.events) if event["event"] in kinds), None)


def over_budget(record: RunRecord) -> Finding | None:
    """S02: at its own speed the run takes longer than its budget."""
    train = record.config.train
    budget = train.budget_hours
    if budget is None:
        return None
    tiles = train.steps * train.lanes * train.lane_batch
    fitting = 0
    if record.entries:
        fitting = int(budget * 3600 * record.entries[-1].timing["tiles_per_second"] / (train.lanes * train.lane_batch))
    return lasting(
        record, "S02", "hours", lambda entry: tiles / entry.timing["tiles_per_second"] / 3600 / budget,
        f"at this speed {train.steps} steps take {{:.2g}} times the budget of {budget:g} h",
        f"--train.steps {fitting}",
    )  # fmt: skip


def steps_wait(record: RunRecord) -> Finding | None:
    """S04: the share of the time between log steps that was spent waiting for tiles."""
    waits: dict[int, float] = {}
    for one, other in pairwise(record.entries):
        passed = other.timing["seconds"] - one.timing["seconds"]
        if passed > 0:  # else another attempt began in between
            waited = [entry.timing["waited_share"] * entry.timing["seconds"] for entry in (one, other)]
            waits[other.step] = (waited[1] - waited[0]) / passed
    ahead = 4 * record.config.tiles.prefetch_steps
    return lasting(
        record, "S04", "waiting", lambda entry: waits.get(entry.step),
        "{:.1%} of the time steps wait for tiles", f"--tiles.prefetch-steps {ahead}",
    )  # fmt: skip


def not_logged(record: RunRecord) -> Finding | None:
    """S05: a run that left no entry in the store's log."""
    if record.logged is None:
        return None
    found = "the observation log has no entry of this run"
    return graded("S05", "entries", float(record.logged), found, f"satgan log add {record.config.train.name}")


def twin_differs(record: RunRecord) -> Finding | None:
    """S06: a run of the same config, seed, tiles and versions with other numbers."""
    twin = record.twin
    if twin is None:
        return None
    found = f"{twin.name} has the same config, seed, tiles and versions, and other numbers from step {twin.step} on"
    action = f"satgan compare {record.config.train.name} {twin.name}"
    finding = graded("S06", "twins", 1.0, found, action)
    return finding and finding._replace(since_step=twin.step)


def tiles_are_few(record: RunRecord) -> Finding | None:
    """S07: what the run learns by heart."""
    start = _last(record, "start", "resume")
    if start is None or "tiles" not in start:
        return None
    found = f"the run trains on {start['tiles']} tile(s)"
    return graded("S07", "few", start["tiles"], found, "satgan tiles cut RASTER… SET --stride 32")


def _inputs(record: RunRecord) -> tuple[float, float] | None:
    inputs = _last(record, "inputs")
    return (inputs["lowest"], inputs["highest"]) if inputs else None


def inputs_are_outside(record: RunRecord) -> Finding | None:
    """S08: a first batch beyond [-1, 1]."""
    if (ends := _inputs(record)) is None:
        return None
    found = f"the networks saw values from {ends[0]:.3g} to {ends[1]:.3g}, beyond [-1, 1]"
    return graded("S08", "largest", max(map(abs, ends)), found, "satgan tiles inspect SET")


def inputs_were_scaled_twice(record: RunRecord) -> Finding | None:
    """S12: a first batch in which everything is nearly the same."""
    if (ends := _inputs(record)) is None:
        return None
    found = f"the networks saw values from {ends[0]:.3g} to {ends[1]:.3g} only: see inputs.png"
    return graded("S12", "span", ends[1] - ends[0], found, "satgan tiles cut RASTER… SET --stretch 2,98")


def inputs_lack_the_lower_half(record: RunRecord) -> Finding | None:
    """S29: a first batch in [0, 1]."""
    ends = _inputs(record)
    if ends is None or ends[1] > 1.001:  # that is S08's
        return None
    found = f"the networks saw values from {ends[0]:.3g} up: the lower half of [-1, 1] is empty"
    return graded("S29", "lowest", ends[0], found, "satgan tiles cut RASTER… SET --stretch 2,98")


def layout_is_converted(record: RunRecord) -> Finding | None:
    """S11: tiles that each convolution has to turn around."""
    inputs = _last(record, "inputs")
    if inputs is None or "channels_last" not in inputs:
        return None
    found = "the first batch did not lie channels_last in memory: each step converts it"
    return graded("S11", "layout", float(not inputs["channels_last"]), found, "report it with the run's config.yaml")


def checkpoints_lie_about(record: RunRecord) -> Finding | None:
    """S09: more checkpoints than the config keeps."""
    train = record.config.train
    if record.checkpoints is None:
        return None
    found = f"{record.checkpoints} checkpoints, where {train.keep_checkpoints} + {train.keep_best} are kept"
    more = record.checkpoints - train.keep_checkpoints - train.keep_best
    return graded("S09", "kept", more, found, f"satgan prune {train.store.rstrip('/')}/{train.name}")


def checkpoints_are_not_written(record: RunRecord) -> Finding | None:
    """S09: the store does not take them, so a kill would undo more and more."""
    failed = _last(record, "checkpoint_failed", "checkpoint_whole", "start", "resume", "end")
    if failed is None or failed["event"] != "checkpoint_failed":
        return None
    events = newest_attempt(record.events)
    tried = {event["step"] for event in events if event["event"] in ("checkpoint", "checkpoint_failed")}
    missing = sum(step > failed["stands"] for step in tried)
    stands = f"that after step {failed['stands']} stands" if failed["stands"] else "none stands yet"
    found = f"{missing} checkpoint(s) were not written, {stands}: {failed['found']}"
    finding = graded("S09", "unwritten", missing, found, failed["remedy"])
    return finding and finding._replace(since_step=failed["step"])


def checkpoints_are_late(record: RunRecord) -> Finding | None:
    """S09: each takes the store longer than they are apart, so a kill would undo more than the config has it."""
    left_out = _last(record, "left_out", "checkpoint", "start", "resume", "end")
    if left_out is None or left_out["event"] != "left_out":
        return None
    steps = [event["step"] for event in newest_attempt(record.events) if event["event"] == "left_out"]
    missing = sum(step > left_out["under_way"] for step in steps)
    found = (
        f"the checkpoint after step {left_out['under_way']} is on its way, {missing} that were due since were left out"
    )
    apart = record.config.train.checkpoint_steps * (missing + 1)
    finding = graded("S09", "late", missing, found, f"--train.checkpoint-steps {apart}, or a store that is nearer")
    return finding and finding._replace(since_step=left_out["under_way"])


def newest_is_corrupt(record: RunRecord) -> Finding | None:
    """S09: a newest checkpoint whose files are not what was written."""
    if record.corrupt is None:
        return None
    train, (found, remedy) = record.config.train, record.corrupt
    action = remedy or f"satgan train … --store {train.store} --name {train.name}, which sets it aside"
    return graded("S09", "corrupt", 1.0, f"the newest checkpoint is corrupt: {found}", action)


def no_pictures(record: RunRecord) -> Finding | None:
    """S10: a run with checkpoints and nothing to look at."""
    if record.pictures is None or _last(record, "checkpoint") is None:
        return None
    found = "the run has no pictures in film/"
    return graded("S10", "pictures", record.pictures, found, "--train.film-steps 10")


def memory_rises(record: RunRecord) -> Finding | None:
    """S14: memory that grows with the steps, once every tile was seen: until then caches fill."""
    train, start = record.config.train, _last(record, "start", "resume")
    tiles = start.get("tiles", 0) if start else 0
    begun = (start["step"] if start else 0) + tiles / (train.lanes * train.lane_batch) + train.log_steps * 10
    entries = [entry for entry in record.entries if entry.step > begun][-MEMORY_ENTRIES:]
    if len(entries) < MEMORY_ENTRIES:
        return None
    findings = []
    for where in ("resident", "gpu"):
        held = [entry.timing.get(f"{where}_megabytes", 0.0) for entry in entries]
        rise = _steady_rise(held) * 1000 / (entries[-1].step - entries[0].step)
        found = f"{where} memory rises by {rise:.0f} MB in 1,000 steps, from {held[0]:,.0f} to {held[-1]:,.0f} MB"
        findings.append(graded("S14", where, rise, found, "--tiles.cache none"))
    worst = max((one for one in findings if one), key=lambda one: one.figure, default=None)
    return worst and worst._replace(since_step=entries[0].step)


def _steady_rise(held: list[float]) -> float:
    """How much more the last is than the first, if it rose in the first half as well as in the second: what a
    checkpoint or the judge takes once is no leak."""
    third = len(held) // 3
    first, middle, last = (median_low(part) for part in (held[:third], held[third : 2 * third], held[2 * third :]))
    steady = min(middle - first, last - middle) > 0.25 * (last - first)
    return (last - first) * 1.5 if steady else 0.0


def machine_is_oversubscribed(record: RunRecord) -> Finding | None:
    """S28: more threads than the machine had cores for, as the run began."""
    start, threads = _last(record, "start", "resume"), record.config.train.threads_per_lane
    if start is None or "cores" not in start or threads is None or start["device"] != "cpu":
        return None
    found = f"{start['workers']} worker(s) of {threads} thread(s) on {start['cores']} usable core(s)"
    action = f"--train.threads-per-lane {max(1, start['cores'] // start['workers'])}"
    return graded("S28", "threads", start["workers"] * threads / start["cores"], found, action)


RUN_CHECKS: Mapping[str, tuple[RunCheck, ...]] = {
    "S02": (over_budget,),
    "S04": (steps_wait,),
    "S05": (not_logged,),
    "S06": (twin_differs,),
    "S07": (tiles_are_few, tiles_are_copied),
    "S08": (inputs_are_outside,),
    "S09": (checkpoints_lie_about, checkpoints_are_not_written, checkpoints_are_late, newest_is_corrupt),
    "S10": (no_pictures,),
    "S11": (layout_is_converted,),
    "S12": (inputs_were_scaled_twice,),
    "S14": (memory_rises,),
    "S27": (checkerboard, grid_is_judged),
    "S28": (machine_is_oversubscribed,),
    "S29": (inputs_lack_the_lower_half,),
    "G06": (scores_lack_references,),
    **TRAINING_CHECKS,
}
