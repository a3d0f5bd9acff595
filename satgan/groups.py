"""The groups of the config tree: every option with its meaning, unit and rule code (recipe.md).

`satgan train --help` prints the same texts. satgan/config.py puts the groups together.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from satgan.kinds import (
    MOST_CHANNELS,
    Changes,
    Count,
    Filters,
    Hours,
    Loggers,
    Name,
    Norm,
    NotNegative,
    Place,
    Price,
    Rate,
    Seconds,
    Share,
    Workers,
    as_number,
)
from satgan.presets import NETWORKS
from satgan.scaling import RATES_AT_64, doublings, filters_for, fitting_sizes, ladder_of, stem_of


class Group(BaseModel):
    """A group of options; immutable, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TilesConfig(Group):
    """From a tile set to batches."""

    source: Place | None = Field(
        None, description="tile set: folder or s3:// prefix; none: an embedded one, Blue Marble or digits"
    )
    augment: Literal["dihedral", "none"] = Field(
        "dihedral", description="flips and quarter turns of real tiles: overhead imagery has no up"
    )
    prefetch_steps: Count = Field(4, description="batches prepared ahead of the step that computes (S04) [steps]")
    connections: Count = Field(16, description="pieces read at the same time (S04) [threads]")
    memory_megabytes: Count = Field(1024, description="tiles kept in memory per worker (S04) [MB]")
    cache: Literal["auto", "device", "memory", "disk", "none"] = Field(
        "auto",
        description="where tiles stay between epochs: on the GPU, in memory (as far as they fit), on a scratch "
        "disk, or nowhere; auto: the first of these that they fit into, the GPU up to a quarter of its free memory; "
        "no number depends on it (S04)",
    )
    cache_folder: str | None = Field(
        None, description="scratch folder of the disk cache, best on NVMe; none: SATGAN_CACHE, if that is set"
    )
    connect_timeout_seconds: Seconds = Field(
        5,
        description="S3: an attempt ends that has no connection by then; an address that does not answer is given "
        "up after attempts times this and pauses: 32.5 s by default [s]",
    )
    read_timeout_seconds: Seconds = Field(
        30,
        description="S3: an attempt ends after so long without a byte; a silent server is given up after "
        "attempts times this and pauses: 157.5 s by default [s]",
    )
    attempts: Count = Field(
        5,
        description="S3: how often a read is tried, each time from where the bytes broke off, after pauses of at "
        "most 0.5, 1, 2, 4, … s; then the run ends with the error, and resumes when it is started again",
    )


class GanConfig(Group):
    """The two networks. The discriminator mirrors the generator (S16)."""

    preset: str = Field("demo", description="named networks that fill this group: article, dcgan, digits or demo")
    size: Count = Field(64, description="tile height and width: stem · 2ⁿ [pixels]")
    channels: Annotated[int, Field(ge=1, le=MOST_CHANNELS)] = Field(3, description="bands of a tile")
    noise_size: Count = Field(32, description="length of the noise vector")
    stem: Annotated[Literal[4, 7], BeforeValidator(as_number)] = Field(
        4, description="height and width of the first feature map (S01) [pixels]"
    )
    kernel_size: Annotated[int, Field(ge=3, le=11)] = Field(4, description="height and width of a filter [pixels]")
    filters: Filters = Field(
        (),
        validate_default=True,
        description="filters of the generator's feature maps, first to last, one for each doubling of the stem; empty: "
        "the preset's, halved on for a larger size (S01), times the power of two nearest to the kernel's area against "
        "the preset's (S20)",
    )
    smoothing_layers: Annotated[int, Field(ge=0, le=8)] = Field(
        0,
        description="stride-1 layers after the last doubling, with half its filters, against checkerboards; the "
        "discriminator begins with as many (S27)",
    )
    biases: bool = Field(False, description="biases in the convolutions; they start at 0 (S18)")
    generator_norm: Norm = Field(
        "batch", description="batch norm, or virtual batch norm: each tile by a fixed reference batch and itself (S23)"
    )
    discriminator_norm: Norm = Field("batch", description="the same for the discriminator (S23)")
    virtual_batch: Annotated[int, Field(ge=2)] = Field(
        64, description="reference batch of virtual batch norm: noise, or tiles of the set (S23) [tiles]"
    )
    affine_norm: bool = Field(True, description="norms with trainable scale and shift (S23)")
    dense_head: Filters = Field((), description="dense layers between the discriminator's last map and its logit")
    generator_leak: Share = Field(0.0, description="slope of the generator's ReLU below zero; 0: plain ReLU (S22)")
    discriminator_leak: Share = Field(0.2, description="slope of the discriminator's leaky ReLU below zero (S22)")

    @property
    def doublings(self) -> int:
        """How often the generator doubles the resolution: log2(size / stem)."""
        return doublings(self.size, self.stem)

    @field_validator("filters")
    @classmethod
    def _follow(cls, filters: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        given = info.data
        if filters or not {"preset", "size", "stem", "kernel_size"} <= given.keys() or given["preset"] not in NETWORKS:
            return filters
        networks = NETWORKS[given["preset"]]
        steps = doublings(given["size"], given["stem"])
        return filters_for(networks["filters"], networks["kernel_size"], given["kernel_size"], steps)

    @model_validator(mode="after")
    def _ladder_fits(self) -> "GanConfig":
        if stem_of(self.size) != self.stem:
            raise ValueError(f"size = {self.size} is not stem · 2ⁿ: {fitting_sizes(self.size, self.stem)}")
        if len(self.filters) != self.doublings:
            fitting = ",".join(map(str, ladder_of(self.filters, self.doublings)))
            raise ValueError(
                f"filters = {','.join(map(str, self.filters))} has {len(self.filters)} entries, but size {self.size} "
                f"from stem {self.stem} takes {self.doublings} doublings: give one for each, such as {fitting}, or "
                "none, then they follow from the preset's; stride-1 layers are --gan.smoothing-layers"
            )
        return self


class RecipeConfig(Group):
    """How the two networks are trained: the articles' recipe."""

    generator_learning_rate: Rate = Field(
        RATES_AT_64["generator_learning_rate"],
        description="Adam's rate for the generator; none: by the power law through 2e-4 at a global batch "
        "(lanes · lane_batch) of 64 and 1e-3 at 512 (S31)",
    )
    discriminator_learning_rate: Rate = Field(
        RATES_AT_64["discriminator_learning_rate"],
        description="Adam's rate for the discriminator; none: by the law through 1.5e-4 and 1e-3 (S31, G04)",
    )
    auto_balance: Annotated[int, Field(ge=0)] = Field(
        0,
        description="after every so many steps in which one network outran the other one learning rate is moved, as "
        "the doctor advises: by a factor of 2 at most, and 10 in all; 0: never (G04) [steps]",
    )
    beta1: Annotated[float, Field(ge=0, lt=1)] = Field(0.5, description="Adam's first-moment decay, all four (S39)")
    beta2: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="Adam's second-moment decay, all four")
    generator_l2: NotNegative = Field(1e-4, description="L2 constant, generator weights (S24, S25)")
    discriminator_l2: NotNegative = Field(1e-4, description="L2 constant, discriminator (S24, S25)")
    history_share: Share = Field(0.3, description="share of steps that also train on past fakes; 0: off (S33)")
    history_capacity: Count = Field(512, description="past fakes kept per lane (S33) [tiles]")
    path_threshold: Share = Field(0.5, description="share of misjudged tiles from which path A is taken (S39)")
    generator_updates: Count = Field(2, description="generator updates per step (S37)")
    average_half_life_tiles: Count = Field(10_000, description="half-life of the averaged generator [tiles]")
    real_target: Annotated[float, Field(gt=0.5, le=1)] = Field(
        1.0, description="what the discriminator shall say of real tiles; below 1: one-sided label smoothing"
    )
    instance_noise: NotNegative = Field(
        0.0, description="deviation of Gaussian noise on all that the discriminator sees, of tiles in [-1, 1]; 0: off"
    )
    instance_noise_steps: Count | None = Field(
        None, description="steps over which that noise fades linearly to nothing; none: it stays [steps]"
    )
    differentiable_augmentation: Changes = Field(
        (), description="random changes of all that the discriminator sees: color,translation,cutout; empty: none"
    )


class TrainConfig(Group):
    """One run."""

    name: Name = Field("demo", description="run name: its folder in the store")
    store: Place = Field("runs", description="where runs are kept: folder or s3:// prefix")
    seed: Annotated[int, Field(ge=0, lt=2**64)] = Field(1234, description="from it every random number follows (S06)")
    steps: Count = Field(20_000, description="steps of the whole run (S30) [steps]")
    budget_hours: Hours | None = Field(
        None, description="how long the run may take; the doctor says when it will not do; none: no limit (S02) [h]"
    )
    lanes: Count = Field(1, description="units of computation; the global batch is lanes · lane_batch")
    lane_batch: Annotated[int, Field(ge=2)] = Field(64, description="tiles of a lane in one step; its batch-norm batch")
    workers: Workers | None = Field(
        None,
        description="processes under Ray Train, at most one per lane; MIN:MAX: as many as the cluster has room for, "
        "fewer when a machine is lost, more when one comes; 0: this process without Ray; none: one per GPU, 1 without "
        "a GPU; the numbers do not depend on it",
    )
    restarts: Annotated[int, Field(ge=0)] = Field(
        3,
        description="how often workers that crashed, hung or got no answer from the store are started again before "
        "another checkpoint is written; a machine that was taken away with notice does not count, other errors that "
        "satgan names are not retried",
    )
    hang_seconds: Seconds = Field(
        120, description="a worker's process that does not answer for so long is killed and counts as crashed [s]"
    )
    start_seconds: Seconds = Field(
        600, description="the run ends when the cluster has had no room for its workers for so long [s]"
    )
    resize_seconds: Seconds = Field(
        60,
        description="with workers MIN:MAX: how long workers run before the run looks whether more have room; then it "
        "goes on from its last checkpoint [s]",
    )
    threads_per_lane: Count | None = Field(
        None,
        description="CPU threads that compute one lane; none: the usable cores shared by the lanes; "
        "recorded when the run starts, since the last bits depend on it (S28)",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of convolutions; auto: bfloat16 where the hardware has it; recorded when the run starts"
    )
    deterministic: bool = Field(
        True,
        description="on a GPU: the same bits in every run on the same kind of GPU with the same versions; no: cuDNN "
        "takes the fastest algorithms of those it tries, whose last bits differ from run to run, and with them, after "
        "some steps, all numbers; on a CPU the bits are the same either way",
    )
    on_nan: Literal["stop", "rollback"] = Field(
        "stop",
        description="when a loss, a weight or a moment of Adam is infinite or not a number: stop, or go on from the "
        "last checkpoint that train.checkpoint_steps gave (not that of a stop or a notice, which is removed), with "
        "other noise and other random choices, the tiles in the same order",
    )
    rollbacks: Count = Field(3, description="with train.on_nan rollback: how often at most, then the run stops")
    log_steps: Count = Field(20, description="every so many steps a journal entry, losses before and after [steps]")
    loggers: Loggers = Field(
        (), description="mlflow,wandb: told beside TensorBoard, at checkpoints, by their own settings; empty: neither"
    )
    film_steps: Count = Field(10, description="every so many steps one tile of a fresh noise vector (S10) [steps]")
    checkpoint_steps: Count = Field(
        500,
        description="every so many steps a checkpoint and a sample grid; one that cannot be written is tried again "
        "beside the steps, and ends a run only where none stands yet, or at its end, after 300 s (S09) [steps]",
    )
    checkpoint_seconds: NotNegative = Field(
        10,
        description="but none closer than this to the one before, by worker 0's clock, nor while that one is still "
        "under way to the store; the last always, and with train.on_nan rollback all [s]",
    )
    keep_checkpoints: Count = Field(3, description="newest checkpoints that are kept; older ones are removed (S09)")
    keep_best: Count = Field(1, description="best checkpoints by the judge's score that are kept besides (S09)")
    worker_price: NotNegative = Field(
        0, description="what a worker's machine, or its share of one, costs; `satgan submit` knows it [USD per hour]"
    )
    head_price: NotNegative = Field(0, description="what the machines beside the workers' cost [USD per hour]")
    budget: Price | None = Field(
        None, description="the run saves and stops once all attempts at it have cost so much; none: no limit [USD]"
    )

    @property
    def worker_range(self) -> tuple[int, int]:
        """Fewest and most workers, once they are decided; equal where their number is fixed."""
        assert self.workers is not None
        ends = [int(end) for end in str(self.workers).split(":")]
        return ends[0], ends[-1]

    @model_validator(mode="after")
    def _workers_fit(self) -> "TrainConfig":
        if self.workers is None or self.worker_range[1] <= self.lanes:
            return self
        least, most = self.worker_range
        fitting = self.lanes if least in (most, self.lanes) else f"{min(least, self.lanes)}:{self.lanes}"
        raise ValueError(
            f"workers = {self.workers}, but a run with {self.lanes} lane(s) has work for {self.lanes} at most: "
            f"take --workers {fitting}, or more lanes (--train.lanes {most}) with smaller lane batches "
            "or with the higher rates that a larger batch bears (S31)"
        )


class JudgeConfig(Group):
    """Scores of the averaged generator at each checkpoint, beside the training."""

    tiles: Annotated[int, Field(ge=0)] = Field(
        512,
        description="fakes that are judged against as many real tiles, at most half of the set; 0: no judging (law 7)",
    )

    wait: bool = Field(
        False,
        description="training waits at each checkpoint until it is written and judged, so that every one is judged; "
        "no: one that a newer one overtakes is passed over; sweeps set it",
    )
