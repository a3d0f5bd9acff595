"""One validated tree of options. Layers, the later wins: preset, `--config` file, options.

Every field says its meaning, unit and rule code (recipe.md); `satgan train --help` prints the same texts.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from satgan.errors import ConfigError, nearest
from satgan.presets import NETWORKS, PRESETS


def _split_commas(value: object) -> object:
    """`--gan.filters 32,16,8` and YAML lists are both accepted; an empty text is an empty list."""
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


def _plain_name(value: str) -> str:
    if not value or value.startswith(".") or not all(letter.isalnum() or letter in "-_." for letter in value):
        raise ValueError("a name has letters, digits, '-', '_' and '.' only and does not begin with '.'")
    if value == "tiles":
        raise ValueError("that is where the store keeps tile sets: choose another name")
    return value


Filters = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_split_commas)]
Place = Annotated[str, Field(min_length=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Group(BaseModel):
    """A group of options; immutable, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TilesConfig(Group):
    """From a tile set to batches."""

    source: Place | None = Field(
        None, description="tile set: folder or s3:// prefix; none: the embedded Blue Marble set"
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
    channels: Annotated[int, Field(ge=1, le=16)] = Field(3, description="bands of a tile")
    noise_size: Count = Field(32, description="length of the noise vector")
    stem: Literal[4, 7] = Field(4, description="height and width of the first feature map (S01) [pixels]")
    filters: Filters = Field(
        (192, 96, 48, 24),
        description="filters of the generator's feature maps, first to last; those beyond the doublings of the stem "
        "are stride-1 smoothing layers (S01, S20, S27)",
    )
    kernel_size: Annotated[int, Field(ge=3, le=11)] = Field(4, description="height and width of a filter [pixels]")
    biases: bool = Field(False, description="biases in the convolutions; they start at 0 (S18)")
    affine_norm: bool = Field(True, description="batch norm with trainable scale and shift (S23)")
    dense_head: Filters = Field((), description="dense layers between the discriminator's last map and its logit")
    leak: Share = Field(0.2, description="slope of the discriminator's leaky ReLU below zero (S22)")

    @property
    def doublings(self) -> int:
        """How often the generator doubles the resolution: log2(size / stem)."""
        return int(math.log2(self.size / self.stem))

    @model_validator(mode="after")
    def _ladder_fits(self) -> "GanConfig":
        if self.size < 2 * self.stem or self.size != self.stem * 2**self.doublings:
            fitting = ", ".join(str(self.stem * 2**n) for n in range(1, 8))
            raise ValueError(f"size = {self.size} is not stem · 2ⁿ: with stem {self.stem} choose one of {fitting}")
        if len(self.filters) < self.doublings:
            raise ValueError(
                f"filters = {','.join(map(str, self.filters))} has {len(self.filters)} entries, but size {self.size} "
                f"from stem {self.stem} takes {self.doublings} doublings: give at least {self.doublings}"
            )
        return self


class RecipeConfig(Group):
    """How the two networks are trained: the articles' recipe."""

    generator_learning_rate: Rate = Field(2e-4, description="Adam's rate for the generator, at batch 64 (S31)")
    discriminator_learning_rate: Rate = Field(1.5e-4, description="Adam's rate for the discriminator (S31, G04)")
    beta1: Annotated[float, Field(ge=0, lt=1)] = Field(0.5, description="Adam's first-moment decay, all four (S39)")
    beta2: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="Adam's second-moment decay, all four")
    generator_l2: Annotated[float, Field(ge=0)] = Field(1e-4, description="L2 constant, generator weights (S24, S25)")
    discriminator_l2: Annotated[float, Field(ge=0)] = Field(1e-4, description="L2 constant, discriminator (S24, S25)")
    history_share: Share = Field(0.3, description="share of steps that also train on past fakes; 0: off (S33)")
    history_capacity: Count = Field(512, description="past fakes kept per lane (S33) [tiles]")
    path_threshold: Share = Field(0.5, description="share of misjudged tiles from which path A is taken (S39)")
    generator_updates: Count = Field(2, description="generator updates per step (S37)")
    average_half_life_tiles: Count = Field(10_000, description="half-life of the averaged generator [tiles]")


class TrainConfig(Group):
    """One run."""

    name: Annotated[str, AfterValidator(_plain_name)] = Field("demo", description="run name: its folder in the store")
    store: Place = Field("runs", description="where runs are kept: folder or s3:// prefix")
    seed: Annotated[int, Field(ge=0, lt=2**64)] = Field(1234, description="from it every random number follows (S06)")
    steps: Count = Field(20_000, description="steps of the whole run (S30) [steps]")
    lanes: Count = Field(1, description="units of computation; the global batch is lanes · lane_batch")
    lane_batch: Annotated[int, Field(ge=2)] = Field(64, description="tiles of a lane in one step; its batch-norm batch")
    workers: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="processes under Ray Train, at most one per lane; 0: this process without Ray; "
        "none: one per GPU, 1 without a GPU; the numbers do not depend on it",
    )
    threads_per_lane: Count | None = Field(
        None,
        description="CPU threads that compute one lane; none: the usable cores shared by the lanes; "
        "recorded when the run starts, since the last bits depend on it (S28)",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of convolutions; auto: bfloat16 where the hardware has it; recorded when the run starts"
    )
    log_steps: Count = Field(20, description="every so many steps a journal entry, losses before and after [steps]")
    film_steps: Count = Field(10, description="every so many steps one tile of a fresh noise vector (S10) [steps]")
    checkpoint_steps: Count = Field(500, description="every so many steps a checkpoint and a sample grid (S09) [steps]")
    keep_checkpoints: Count = Field(3, description="newest checkpoints that are kept; older ones are removed (S09)")

    @model_validator(mode="after")
    def _workers_fit(self) -> "TrainConfig":
        if self.workers is not None and self.workers > self.lanes:
            raise ValueError(
                f"workers = {self.workers}, but a run with {self.lanes} lane(s) has work for {self.lanes} at most: "
                f"take --workers {self.lanes}, or more lanes (--train.lanes {self.workers}) with smaller lane batches "
                "or with the higher rates that a larger batch bears (S31)"
            )
        return self


class Config(Group):
    """The whole tree."""

    tiles: TilesConfig = TilesConfig()
    gan: GanConfig = GanConfig()
    recipe: RecipeConfig = RecipeConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _history_fits(self) -> "Config":
        recipe, batch = self.recipe, self.train.lane_batch
        if recipe.history_share and recipe.history_capacity < batch:
            raise ValueError(
                f"recipe.history_capacity = {recipe.history_capacity} is less than train.lane_batch = {batch}, so no "
                f"batch of past fakes could be picked: take --recipe.history-capacity {8 * batch}, or "
                "--recipe.history-share 0"
            )
        return self

    def numbers(self) -> dict[str, Any]:
        """The part that the run's numbers follow from: everything but where, how long, how fast and how often shown."""
        tree = self.model_dump(mode="json")
        for path in FREE_OPTIONS:
            group, field = path.split(".")
            del tree[group][field]
        return tree

    def digest(self) -> str:
        """sha256 of `numbers()`, in hex."""
        return hashlib.sha256(json.dumps(self.numbers(), sort_keys=True).encode()).hexdigest()


FREE_OPTIONS = (
    "tiles.source", "tiles.prefetch_steps", "tiles.connections", "tiles.memory_megabytes",
    "tiles.cache", "tiles.cache_folder",
    "tiles.connect_timeout_seconds", "tiles.read_timeout_seconds", "tiles.attempts", "gan.preset",
    "train.name", "train.store", "train.steps", "train.workers", "train.log_steps", "train.film_steps",
    "train.checkpoint_steps", "train.keep_checkpoints",
)  # fmt: skip
"""Options that may differ when a run is resumed: no number of any step depends on them."""


def load_config(preset: str, *layers: Mapping[str, Mapping[str, Any]]) -> Config:
    """The complete, validated config.

    Args:
        preset: name of a preset; it names the run, the networks and their training.
        layers: `{group: {field: value}}`, the later wins: the `--config` file, then the options. `gan.preset` in a
            layer puts that preset's networks under the layer's other fields.

    Raises:
        ConfigError: unknown preset, group or field (the nearest name is suggested), or an impossible value.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}", nearest(preset, PRESETS))
    merged: dict[str, dict[str, Any]] = {group: {} for group in Config.model_fields}
    for layer in ({"gan": {"preset": preset, **NETWORKS[preset]}}, PRESETS[preset], *layers):
        for group, fields in _checked_names(layer).items():
            networks = str(fields.get("preset", "")) if group == "gan" else ""
            if networks and networks not in NETWORKS:
                raise ConfigError(f"unknown networks: gan.preset = {networks!r}", nearest(networks, NETWORKS))
            merged[group] |= {**NETWORKS.get(networks, {}), **fields}
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_told(error), "correct it; `satgan train --help` lists every option") from None


def _checked_names(layer: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """The layer itself, once its group and field names are known ones."""
    groups = Config.model_fields
    for group, fields in layer.items():
        if group not in groups:
            raise ConfigError(f"unknown group {group!r} in the config", nearest(str(group), groups))
        if not isinstance(fields, Mapping):
            raise ConfigError(f"group {group!r} holds {fields!r}", "write fields and their values below the group")
        known = groups[group].annotation.model_fields  # type: ignore[union-attr]
        for field in fields:
            if field not in known:
                raise ConfigError(f"unknown option {group}.{field}", nearest(str(field), known))
    return layer


def _told(error: ValidationError) -> str:
    """pydantic's findings as lines `group.field = value: what is wrong`."""
    lines = []
    for found in error.errors():
        path = ".".join(str(part) for part in found["loc"])
        text = found["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(found["input"], dict) else f" = {found['input']!r}"
        lines.append(f"{path}{shown}: {text}")
    return "\n".join(lines)
