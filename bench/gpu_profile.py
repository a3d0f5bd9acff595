"""Which kernels take a step's time: torch.profiler's figures, shortened to a table."""

from torch.profiler import ProfilerActivity, profile

from bench.gpu_row import Setting
from bench.measure import wait_for
from bench.variants import OurStep, make_batches
from satgan.train.device import decide

STEPS, ROWS = 10, 14
NAME_LENGTH = 90


def profile_tables(setting: Setting) -> str:
    """The kernels of `article` and `dcgan` at batch 512, whole recipe, computed without graphs: their names tell whose
    they are; their times are those of replays."""
    return "".join(_table(setting, preset) for preset in ("article", "dcgan"))


def _table(setting: Setting, preset: str) -> str:
    config, device = decide(setting.config(preset, 512)), setting.device
    ours = OurStep(config, make_batches(config, device), device, recorded=False)
    for turn in range(3):
        ours.step(turn)
    wait_for(device)
    on_gpu, steps = device.type == "cuda", setting.steps(STEPS)
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        for turn in range(steps):
            ours.step(turn)
        wait_for(device)
    times = {
        event.key: (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / steps
        for event in profiled.key_averages()
    }  # microseconds
    whole = sum(times.values())
    lines = [
        f"| `{key[:NAME_LENGTH].replace('|', '/')}` | {time / 1e3:.3g} | {time / whole:.1%} |"
        for key, time in sorted(times.items(), key=lambda item: -item[1])[:ROWS]
    ]
    head = f"\n`{preset}`, batch {config.train.lane_batch}: {whole / 1e3:.4g} ms of kernels a step\n"
    return "\n".join([head, "| kernel | ms a step | share |", "| --- | --- | --- |", *lines, ""])
