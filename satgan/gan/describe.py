"""What a pair of networks costs, before anything is computed (S02): layers, parameters, FLOPs, memory."""

from typing import Any, NamedTuple

import torch

from satgan.config import Config
from satgan.gan.history import history_slots
from satgan.gan.networks import Discriminator, Generator, ladder
from satgan.gan.weights import parameter_count
from satgan.groups import GanConfig
from satgan.presets import NETWORKS
from satgan.scaling import RATES_AT_64, filters_for, kernel_factor, learning_rate

BYTES_PER_NUMBER = 4


class Layer(NamedTuple):
    """One layer with weights. `flops` are of a forward pass per tile: two per multiplication."""

    name: str
    kind: str
    output: str
    parameters: int
    flops: int


def generator_layers(config: GanConfig) -> list[Layer]:
    """The generator's layers; a batch norm's parameters stand with the layer it follows."""
    stem_maps = config.stem**2 * config.filters[0]
    norm = 2 if config.affine_norm else 0
    layers = [
        Layer(
            "projection", f"dense {config.noise_size} > {stem_maps}", _shape(config.filters[0], config.stem),
            config.noise_size * stem_maps + norm * config.filters[0], 2 * config.noise_size * stem_maps,
        )
    ]  # fmt: skip
    rungs = ladder(config)
    for number, rung in enumerate(rungs):
        weights = rung.kernel_size**2 * rung.deep_filters * rung.shallow_filters
        last = number == len(rungs) - 1
        extra = (config.biases + (0 if last else norm)) * rung.shallow_filters
        kind = f"{rung.kernel_size}×{rung.kernel_size} transposed, stride {rung.stride}"
        flops = 2 * weights * rung.small**2
        shape = _shape(rung.shallow_filters, rung.large)
        layers.append(Layer(f"convolution {number + 1}", kind, shape, weights + extra, flops))
    return layers


def discriminator_layers(config: GanConfig) -> list[Layer]:
    """The discriminator's layers, the generator's ladder backwards."""
    norm = 2 if config.affine_norm else 0
    layers = []
    for number, rung in enumerate(reversed(ladder(config))):
        weights = rung.kernel_size**2 * rung.deep_filters * rung.shallow_filters
        extra = (config.biases + (norm if number else 0)) * rung.deep_filters
        kind = f"{rung.kernel_size}×{rung.kernel_size}, stride {rung.stride}"
        flops = 2 * weights * rung.small**2
        shape = _shape(rung.deep_filters, rung.small)
        layers.append(Layer(f"convolution {number + 1}", kind, shape, weights + extra, flops))
    inputs = config.stem**2 * config.filters[0]
    for number, outputs in enumerate((*config.dense_head, 1)):
        weights, bias = inputs * outputs, config.biases * outputs
        layers.append(
            Layer(f"dense {number + 1}", f"dense {inputs} > {outputs}", str(outputs), weights + bias, 2 * weights)
        )
        inputs = outputs
    return layers


def step_flops(config: Config) -> int:
    """FLOPs of one step of one lane per real tile, on path B with the history's share counted in.

    A backward pass costs twice its forward pass, once where only weights or only inputs need gradients: the tiles
    need none when the discriminator learns, its weights none when the generator does. Generator updates beyond the
    first make new fakes; the first uses those of the discriminator's update. Virtual batch norm's reference batch
    passes with each batch.
    """
    generator = sum(layer.flops for layer in generator_layers(config.gan)) * passing(config, "generator")
    shown = passing(config, "discriminator")
    first, *others = (layer.flops * shown for layer in discriminator_layers(config.gan))
    discriminator = first + sum(others)
    updates, history = config.recipe.generator_updates, config.recipe.history_share
    learning = (2 + history) * (3 * discriminator - first)
    fooling = updates * (3 * generator + 2 * discriminator)
    return round(learning + fooling)


def passing(config: Config, network: str) -> float:
    """Maps that pass through a network for each tile: 1, and its part of virtual batch norm's reference batch."""
    virtual = getattr(config.gan, f"{network}_norm") == "virtual"
    return 1 + config.gan.virtual_batch / config.train.lane_batch if virtual else 1


def memory_bytes(config: Config) -> dict[str, int]:
    """What one worker with one lane holds while training, by part; activations are an estimate."""
    generator = sum(layer.parameters for layer in generator_layers(config.gan))
    discriminator = sum(layer.parameters for layer in discriminator_layers(config.gan))
    tile = config.gan.channels * config.gan.size**2
    number = 2 if config.train.precision == "bfloat16" else BYTES_PER_NUMBER
    maps = sum(rung.deep_filters * rung.small**2 + rung.shallow_filters * rung.large**2 for rung in ladder(config.gan))
    passed = sum(passing(config, network) for network in ("generator", "discriminator"))
    weights = BYTES_PER_NUMBER * (2 * generator + discriminator)
    moments = BYTES_PER_NUMBER * 2 * (generator + 3 * discriminator)
    history = number * tile * history_slots(config)
    return {
        "weights": weights,
        "gradients": BYTES_PER_NUMBER * (generator + discriminator),
        "Adam moments": moments,
        "history": history,
        "snapshot": weights + moments + history,  # of these, for the checkpoints
        # Each map is kept before and after its norm, in the generator and in the discriminator.
        "activations": round(2 * passed * number * maps * config.train.lane_batch),
    }


def checkpoint_bytes(config: Config) -> int:
    """Size of a checkpoint: weights, moments, and every lane's past fakes."""
    memory = memory_bytes(config)
    return memory["weights"] + memory["Adam moments"] + memory["history"] * config.train.lanes


def describe(config: Config) -> dict[str, Any]:
    """Everything above as plain values, for people and for `--json`."""
    networks = {
        "generator": (generator_layers(config.gan), Generator),
        "discriminator": (discriminator_layers(config.gan), Discriminator),
    }
    described: dict[str, Any] = {"preset": config.gan.preset}
    for name, (layers, kind) in networks.items():
        with torch.device("meta"):  # counted without a byte: 4096 filters of 11×11 would take 5 GB
            counted = parameter_count(kind(config.gan))
        assert counted == sum(layer.parameters for layer in layers), f"{name}: the layer list is out of step"
        flops = sum(layer.flops for layer in layers)
        described[name] = {
            "layers": [layer._asdict() for layer in layers], "parameters": counted, "flops_per_tile": flops,
        }  # fmt: skip
    memory = memory_bytes(config)
    described["step_flops_per_tile"] = step_flops(config)
    described["precision"] = config.train.precision
    described["memory_bytes"] = memory | {"total": sum(memory.values())}
    described["notes"] = notes(config)
    return described


def notes(config: Config) -> list[str]:
    """What follows from other options, or departs from what would follow (S20, S31)."""
    batch, gan = config.train.lanes * config.train.lane_batch, config.gan
    told = []
    for name in RATES_AT_64:
        rate, law = getattr(config.recipe, name), learning_rate(name, batch)
        origin = f"as the law has it for a global batch of {batch}" if rate == law else f"given; by the law {law:g}"
        told.append(f"{name.replace('_', ' ')} {rate:g}: {origin} (S31)")
    networks = NETWORKS[gan.preset]
    factor = kernel_factor(gan.kernel_size, networks["kernel_size"])
    followed = filters_for(networks["filters"], networks["kernel_size"], gan.kernel_size, gan.doublings)
    if factor != 1 and gan.filters == followed:
        kernel = f"{gan.kernel_size}×{gan.kernel_size} instead of {networks['kernel_size']}×{networks['kernel_size']}"
        told.append(f"filters {','.join(map(str, gan.filters))}: {factor:g} times the preset's, for {kernel} (S20)")
    return told


def _shape(filters: int, size: int) -> str:
    return f"{filters} × {size} × {size}"


def table(described: dict[str, Any]) -> str:
    """`describe`'s result as text."""
    lines = []
    for name in ("generator", "discriminator"):
        network = described[name]
        lines.append(
            f"{name}: {network['parameters']:,} parameters, {network['flops_per_tile'] / 1e6:,.1f} MFLOP a tile"
        )
        for layer in network["layers"]:
            lines.append(
                f"  {layer['name']:<14} {layer['kind']:<30} {layer['output']:<16} "
                f"{layer['parameters']:>12,} {layer['flops'] / 1e6:>10,.1f} MFLOP"
            )
    lines.append(f"one step of the recipe: {described['step_flops_per_tile'] / 1e6:,.0f} MFLOP per real tile")
    precision = described["precision"]
    lines.append(f"memory of a worker with one lane while training in {precision} (activations are an estimate):")
    lines += [f"  {name:<14} {size / 1e6:>10,.1f} MB" for name, size in described["memory_bytes"].items()]
    lines += described["notes"]
    return "\n".join(lines)
