"""What can be seen in a config before a single step: records in, findings out.

A preset may depart from a rule on purpose, where a benchmark said so (`satgan/presets.py`): `as_tested` keeps the
doctor from finding what was chosen by measurement.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

from satgan.config import Config, load_config
from satgan.doctor.finding import Finding
from satgan.doctor.limits import graded
from satgan.doctor.records import ConfigRecord
from satgan.gan.describe import checkpoint_bytes, discriminator_layers, generator_layers, memory_bytes, step_flops
from satgan.presets import NETWORKS
from satgan.scaling import RATES_AT_64, filters_for, ladder_of, learning_rate

ConfigCheck = Callable[[ConfigRecord], Finding | None]

FLOPS_PER_CORE = {"bfloat16": 0.22e12, "float32": 0.11e12}
"""Of the whole recipe on a CPU core with AMX, as BENCHMARKS.md has it for `dcgan` and `article` [FLOP/s]."""


def as_tested(config: Config, path: str) -> bool:
    """Whether an option has the value that its preset was tested with."""
    group, field = path.split(".")
    tested = load_config(config.gan.preset)
    return bool(getattr(getattr(config, group), field) == getattr(getattr(tested, group), field))


def _option(name: str, value: object) -> str:
    """`--recipe.generator-l2 0.0001`"""
    shown = ",".join(map(str, value)) or "''" if isinstance(value, tuple) else value
    return f"--{name.replace('_', '-')} {f'{shown:g}' if isinstance(shown, float) else shown}"


def ladder_departs(record: ConfigRecord) -> Finding | None:
    """S01: filters that do not halve as the resolution doubles."""
    gan = record.config.gan
    off = max((max(one / other / 2, 2 * other / one) for one, other in pairwise(gan.filters)), default=1.0)
    shown = ",".join(map(str, gan.filters))
    action = _option("gan.filters", ladder_of(gan.filters[:1], gan.doublings))
    return graded("S01", "ladder", off, f"filters {shown} do not halve from map to map as DCGAN's do", action)


def memory_is_short(record: ConfigRecord) -> Finding | None:
    """S02: a lane that does not fit into the machine."""
    decided = record.config.train.model_copy(update={"precision": record.machine.precision})
    memory = memory_bytes(record.config.model_copy(update={"train": decided}))
    needed, growing = sum(memory.values()), memory["activations"]
    share = needed / record.machine.memory_bytes
    found = f"a lane needs about {needed / 1e9:.1f} GB of this machine's {record.machine.memory_bytes / 1e9:.1f} GB"
    room = 0.7 * record.machine.memory_bytes - (needed - growing)
    fitting = int(record.config.train.lane_batch * room / growing)
    return graded("S02", "memory", share, found, _option("train.lane_batch", max(2, fitting)))


def cpu_hours(record: ConfigRecord) -> float | None:
    """How long the run would take on the machine's cores, roughly; None on a GPU."""
    if record.machine.device != "cpu":
        return None
    flops = float(step_flops(record.config)) * record.batch * record.config.train.steps
    return flops / (record.machine.cores * FLOPS_PER_CORE[record.machine.precision]) / 3600


def time_is_short(record: ConfigRecord) -> Finding | None:
    """S02: a run on a CPU that takes longer than its budget; on a GPU its own speed tells, once it runs."""
    train, hours = record.config.train, cpu_hours(record)
    if train.budget_hours is None or hours is None:
        return None
    found = f"about {hours:.1f} h on {record.machine.cores} core(s), the budget is {train.budget_hours:g} h"
    action = _option("train.steps", max(1, int(train.steps * train.budget_hours / hours)))
    return graded("S02", "hours", hours / train.budget_hours, found, action)


def on_cpu(record: ConfigRecord) -> Finding | None:
    """S03: a full-size run on a CPU."""
    hours = cpu_hours(record)
    if hours is None:
        return None
    found = f"no GPU: {record.config.gan.preset} takes about {hours:.0f} h on {record.machine.cores} core(s)"
    return graded("S03", "hours", hours, found, "satgan train demo")


def not_deterministic(record: ConfigRecord) -> Finding | None:
    """S06: algorithms that are chosen by a race, so that the seed does not decide."""
    free = record.machine.device == "cuda" and not record.config.train.deterministic
    found = "train.deterministic is no: two runs of this seed will differ on the GPU, and no change can be told apart"
    return graded("S06", "deterministic", float(free), found, "--train.deterministic yes")


def checkpoints_are_rare(record: ConfigRecord) -> Finding | None:
    """S09: too much to lose between two checkpoints; batches below 64 tiles count as parts of a step."""
    steps = record.config.train.checkpoint_steps
    found = f"a checkpoint every {steps} steps: so much is lost when a machine is"
    return graded("S09", "interval", steps * min(1.0, record.batch / 64), found, "--train.checkpoint-steps 500")


def checkpoints_fill_the_disk(record: ConfigRecord) -> Finding | None:
    """S09: more kept checkpoints than a disk is good for."""
    train = record.config.train
    kept = train.keep_checkpoints + train.keep_best
    size = kept * checkpoint_bytes(record.config) / 1e9
    return graded("S09", "disk", size, f"{kept} kept checkpoints take {size:,.0f} GB", "--train.keep-checkpoints 3")


def film_is_blank(record: ConfigRecord) -> Finding | None:
    """S10: hardly any sample to look at."""
    steps = record.config.train.film_steps
    return graded("S10", "film", steps, f"one sample every {steps} steps on the film", "--train.film-steps 10")


def filters_do_not_fit(record: ConfigRecord) -> Finding | None:
    """S20: a number of filters that does not follow the kernel's area."""
    gan = record.config.gan
    preset = NETWORKS[gan.preset]
    fitting = filters_for(preset["filters"], preset["kernel_size"], gan.kernel_size, gan.doublings)
    share = gan.filters[0] / fitting[0]
    found = f"{gan.filters[0]} filters of {gan.kernel_size}×{gan.kernel_size}, where {fitting[0]} would follow"
    action = _option("gan.filters", fitting)
    return graded("S20", "few", share, found, action) or graded("S20", "many", share, found, action)


def relu_is_plain(record: ConfigRecord) -> Finding | None:
    """S22: a discriminator that passes nothing back below zero."""
    found = "the discriminator's ReLU is not leaky, so its gradients are sparse"
    return graded("S22", "leak", record.config.gan.discriminator_leak, found, "--gan.discriminator-leak 0.2")


def statistics_are_thin(record: ConfigRecord) -> Finding | None:
    """S23: batch norm over a few tiles."""
    gan, batch = record.config.gan, record.config.train.lane_batch
    if "batch" not in (gan.generator_norm, gan.discriminator_norm):
        return None
    found = f"batch norm over {batch} tiles: what a tile becomes depends on its few neighbours"
    action = "--gan.generator-norm virtual --gan.discriminator-norm virtual"
    return graded("S23", "batch", batch, found, action)


def not_regularized(record: ConfigRecord) -> Finding | None:
    """S24: thousands of steps without an L2 term."""
    recipe, steps = record.config.recipe, record.config.train.steps
    free = [name for name in ("generator", "discriminator") if getattr(recipe, f"{name}_l2") == 0]
    if not free:
        return None
    found = f"{steps} steps without L2 on the {' and the '.join(free)}'s weights"
    return graded("S24", "steps", steps, found, " ".join(f"--recipe.{name}-l2 1e-4" for name in free))


def checkerboard_ahead(record: ConfigRecord) -> Finding | None:
    """S27: kernels that cover pixels unevenly, and nothing to smooth that."""
    gan = record.config.gan
    uneven = gan.kernel_size % 2 == 1 and gan.smoothing_layers == 0
    found = (
        f"a {gan.kernel_size}×{gan.kernel_size} kernel over stride 2 covers pixels unevenly, and no layer smooths it"
    )
    return graded("S27", "kernel", float(uneven), found, "--gan.smoothing-layers 1")


def cores_are_oversubscribed(record: ConfigRecord) -> Finding | None:
    """S28: more computing threads than cores that training may use."""
    train, cores = record.config.train, record.machine.cores
    if train.threads_per_lane is None or record.machine.device != "cpu":
        return None
    workers = 1 if train.workers is None else max(1, train.worker_range[1])
    threads = workers * train.threads_per_lane
    found = f"{workers} worker(s) of {train.threads_per_lane} thread(s) on {cores} usable core(s)"
    action = _option("train.threads_per_lane", max(1, cores // workers))
    return graded("S28", "threads", threads / cores, found, action)


def steps_are_few(record: ConfigRecord) -> Finding | None:
    """S30: a run that ends before there is anything to see; how soon that is depends on the preset."""
    steps, preset = record.config.train.steps, record.config.gan.preset
    tested = load_config(preset).train.steps
    found = f"{steps:,} steps are few, where {preset} takes {tested:,}"
    return graded("S30", "steps", steps / tested, found, _option("train.steps", tested))


def rates_are_high(record: ConfigRecord) -> Finding | None:
    """S31: a learning rate above the law's line for this batch; the worse of the two."""
    tested = load_config(record.config.gan.preset).recipe
    found = []
    for name in RATES_AT_64:
        rate, law = getattr(record.config.recipe, name), learning_rate(name, record.batch)
        most = max(law, getattr(tested, name))
        text = f"{name.replace('_', ' ')} {rate:g}; for a global batch of {record.batch} the law has {law:g}"
        found.append(graded("S31", "rate", rate / most, text, _option(f"recipe.{name}", most)))
    return max((one for one in found if one), key=lambda one: one.figure, default=None)


def history_is_off(record: ConfigRecord) -> Finding | None:
    """S33: a discriminator that may forget what it has seen through."""
    if as_tested(record.config, "recipe.history_share"):
        return None
    share = record.config.recipe.history_share
    return graded("S33", "history", share, "no step trains on past fakes", "--recipe.history-share 0.3")


def powers_differ(record: ConfigRecord) -> Finding | None:
    """S37: one network larger than the other."""
    gan = record.config.gan
    sizes = {
        "generator": sum(layer.parameters for layer in generator_layers(gan)),
        "discriminator": sum(layer.parameters for layer in discriminator_layers(gan)),
    }
    larger, smaller = sorted(sizes, key=lambda name: -sizes[name])
    found = f"the {larger} has {sizes[larger]:,} parameters, the {smaller} {sizes[smaller]:,}"
    head = NETWORKS[gan.preset]["dense_head"]
    if larger == "discriminator" and gan.dense_head != head:
        action = _option("gan.dense_head", head)
    else:  # a longer noise vector makes the generator's projection larger, and nothing else
        missing = sizes["discriminator"] - sizes["generator"]
        action = _option("gan.noise_size", max(4, gan.noise_size + round(missing / (gan.stem**2 * gan.filters[0]))))
    return graded("S37", "parameters", 1 - sizes[smaller] / sizes[larger], found, action)


def updates_are_many(record: ConfigRecord) -> Finding | None:
    """S37: a generator that moves many times for each move of the discriminator."""
    updates = record.config.recipe.generator_updates
    return graded("S37", "updates", updates, f"{updates} generator updates a step", "--recipe.generator-updates 2")


def paths_are_one(record: ConfigRecord) -> Finding | None:
    """S39: a threshold that leaves one path."""
    if as_tested(record.config, "recipe.path_threshold"):
        return None
    threshold = record.config.recipe.path_threshold
    found = f"at a path threshold of {threshold:g} one of the two paths is hardly ever taken"
    return graded("S39", "threshold", abs(threshold - 0.5), found, "--recipe.path-threshold 0.5")


def momentum_is_long(record: ConfigRecord) -> Finding | None:
    """S39: an Adam that remembers the other path for long."""
    beta1 = record.config.recipe.beta1
    found = f"beta1 = {beta1:g}: with two paths an Adam's updates lie far apart, and its momentum is of another time"
    return graded("S39", "beta1", beta1, found, "--recipe.beta1 0.5")


def started_large(record: ConfigRecord) -> Finding | None:
    """G05: an own set before any run on digits, where there is a log to tell."""
    config = record.config
    if record.digits_in_log is None or config.gan.preset in ("digits", "demo") or config.tiles.source is None:
        return None
    found = "no run on digits in this store's log: there is nothing known to compare with"
    return graded("G05", "digits", float(record.digits_in_log), found, "satgan train digits")


def judge_is_off(record: ConfigRecord) -> Finding | None:
    """G06: no score beside its reference."""
    found = "no checkpoint is judged against real tiles"
    return graded("G06", "judge", record.config.judge.tiles, found, "--judge.tiles 512")


CONFIG_CHECKS: Mapping[str, tuple[ConfigCheck, ...]] = {
    "S01": (ladder_departs,),
    "S02": (memory_is_short, time_is_short),
    "S03": (on_cpu,),
    "S06": (not_deterministic,),
    "S09": (checkpoints_are_rare, checkpoints_fill_the_disk),
    "S10": (film_is_blank,),
    "S20": (filters_do_not_fit,),
    "S22": (relu_is_plain,),
    "S23": (statistics_are_thin,),
    "S24": (not_regularized,),
    "S27": (checkerboard_ahead,),
    "S28": (cores_are_oversubscribed,),
    "S30": (steps_are_few,),
    "S31": (rates_are_high,),
    "S33": (history_is_off,),
    "S37": (powers_differ, updates_are_many),
    "S39": (paths_are_one, momentum_is_long),
    "G05": (started_large,),
    "G06": (judge_is_off,),
}
