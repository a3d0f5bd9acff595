"""A run under Ray Train: several workers, one pair of networks."""

import math
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train
from ray.train import CheckpointUploadMode, FailureConfig, RunConfig, ScalingConfig
from ray.train.backend import Backend
from ray.train.collective import broadcast_from_rank_zero
from ray.train.torch import TorchConfig, TorchTrainer

from satgan.config import Config
from satgan.judge.judgement import Judgement
from satgan.tiles.folder import folder_errors_told
from satgan.tiles.store import S3Store, open_store
from satgan.train.checkpoint import complete_steps
from satgan.train.loop import train_loop
from satgan.train.outcome import Outcome
from satgan.train.progress import Progress
from satgan.train.ranks import join
from satgan.train.ray_board import left_asker, open_board, stop_asker, watching
from satgan.train.ray_cluster import ray_running
from satgan.train.ray_faults import Referee, own_error
from satgan.train.ray_metrics import Gauges
from satgan.train.ray_words import words_told
from satgan.train.run_folder import RunFolder, read_config
from satgan.train.stop import StopSignals
from satgan.train.watch import Entry, Watch, say_on_stderr

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

COLLECTIVE_SECONDS = 900
"""Workers wait so long for one that is alive but does not come; a slow store may hold worker 0 up for minutes."""
ORPHAN_SECONDS = 0.5
RAY_FOLDER = ".ray"
"""Where Ray Train keeps its own records, beside the runs."""


class _NoMeeting(Backend):
    """Ray Train's own makes the process group before the workers' work begins. What fails then ends the run; where a
    worker dies, others start, but what was set aside for the former ones stays taken (Ray 2.60). As part of the work it
    is a crash like any other."""

    share_cuda_visible_devices = True


class _TorchConfig(TorchConfig):
    """PyTorch's settings under Ray Train, but for the process group: workers `join` one."""

    @property
    def backend_cls(self) -> type[Backend]:
        """What Ray Train does beside the workers' work."""
        return _NoMeeting


class _Trainer(TorchTrainer):
    """TorchTrainer that leaves Ctrl-C to the program: Ray's own handler ends it without a word."""

    def _register_sigint_handler(self, controller: Any) -> None:
        """Nothing: KeyboardInterrupt ends `fit`, and with the driver its Ray and the workers."""


class _Notices:
    """Asks Ray Train now and then whether a machine of the run will be taken away: all workers ask together."""

    def __init__(self) -> None:
        self._pause_seconds = float(os.environ["RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S"])
        self._asked = time.monotonic()
        self._told: Any = None

    def due(self) -> bool:
        """Whether it is time to ask."""
        if time.monotonic() - self._asked < self._pause_seconds:
            return False
        self._asked = time.monotonic()
        return True

    def news(self) -> Entry | None:
        """What Ray Train has heard and did not tell before; the same on every worker."""
        info = ray.train.get_preemption_info()
        if info is None or info == self._told:
            return None
        self._told = info
        deadline = info.deadline_ms and datetime.fromtimestamp(info.deadline_ms / 1000, UTC).isoformat()
        return {"workers": info.preempted_ranks, "nodes": info.preempted_node_ids, "deadline": deadline}


def worker(about: dict[str, Any]) -> Any:
    """What every worker runs; its arguments travelled as plain values."""
    threading.Thread(target=end_as_orphan, args=[os.getppid()], name="orphan", daemon=True).start()
    config, board = as_begun(Config.model_validate(about["config"])), about["board"]
    notices, restarts = _Notices(), ray.get(board.restarts.remote())
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    gauges = Gauges(config.train, rank, workers)
    watch = Watch(
        board.pin.remote, _report, stop_asker(board), board.say.remote, notices.due, notices.news, restarts,
        left_asker(board), board.judge.remote, gauges.set, lambda rate, told: ray.get(board.bill.remote(rate, told)),
        lambda step: board.count_checkpoint.remote(),
    )  # fmt: skip
    with words_told(f"[worker {rank} on {socket.gethostname()}]", board.say.remote):
        if workers > 1:
            os.environ["LOCAL_WORLD_SIZE"] = str(context.get_local_world_size())
            address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
            join(rank, workers, address, about["backend"], COLLECTIVE_SECONDS, broadcast_from_rank_zero)
        outcome = train_loop(config, watch)
    return tuple(outcome) if outcome else None


def end_as_orphan(raylet: int) -> None:
    """Ends this process when its raylet has: nothing shall write into a run that goes on elsewhere. Ray itself was seen
    to let a worker go on for 14 s after its raylet was killed, and for 1.4 s after its driver was."""
    while os.getppid() == raylet:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def as_begun(config: Config) -> Config:
    """The config with what an earlier attempt's machine decided: this one may be another."""
    folder = RunFolder(config.train.store, config.train.name)
    try:
        begun = read_config(folder) if complete_steps(folder.store) else None
    finally:
        folder.close()
    if begun is None:
        return config
    decided = {name: getattr(begun[0].train, name) for name in ("precision", "threads_per_lane")}
    return config.model_copy(update={"train": config.train.model_copy(update=decided)})


def _report(step: int, url: str, numbers: dict[str, float]) -> None:
    """Tells Ray Train of a checkpoint that stands in the store already: nothing is uploaded a second time."""
    ray.train.report(
        {"step": step, "checkpoint_url": url, **numbers}, checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD
    )


def launch(
    config: Config, show: Callable[[Progress], None], say: Callable[[str], None] = say_on_stderr,
    seconds_left: Callable[[], float] = lambda: math.inf,
    judged: Callable[[int, Judgement], None] = lambda step, judgement: None, stop: Callable[[], bool] = lambda: False,
) -> Outcome:  # fmt: skip
    """Trains on `train.workers` Ray Train workers, on the cluster that RAY_ADDRESS names or a local one.

    Args:
        config: as `start.prepare` gave it, with a number of workers from 1 to lanes.
        show: called in this process with the newest progress.
        say: called in this process with lines for the user, such as why workers are started anew.
        seconds_left: for how long from now the run is surely this process's; raises what it must end for at once,
            without saving.
        judged: called in this process, by another thread, with the judgements of checkpoints.
        stop: asked in this process, by another thread, whether to save and stop.

    Raises:
        Stopped: by Ctrl-C, SIGTERM, SIGHUP or `stop`, after a checkpoint.
        SatganError: what a worker raised, as it was; workers crashed too often, or found no room.
    """
    with ray_running(config) as gpus:
        board = open_board()
        trainer = _Trainer(
            worker,
            train_loop_config={
                "config": config.model_dump(mode="json"), "board": board, "backend": "nccl" if gpus else "gloo",
            },
            scaling_config=_scaling(config, gpus),
            run_config=_run_config(config, board),
            torch_config=_TorchConfig(),
        )  # fmt: skip
        with StopSignals(stop) as signals, watching(board, show, say, seconds_left, signals, judged):
            try:
                result: Any = trainer.fit()
            except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
                raise own_error(error) from None
    return Outcome(*result.return_value)


def _scaling(config: Config, gpus: bool) -> ScalingConfig:
    least, most = config.train.worker_range
    # mypy sees the class of Ray's former version.
    return ScalingConfig(
        num_workers=most if least == most else (least, most),  # type: ignore[arg-type]
        elastic_resize_monitor_interval_s=config.train.resize_seconds,  # type: ignore[call-arg]
        use_gpu=gpus,
    )


def _run_config(config: Config, board: Any) -> RunConfig:
    train, store = config.train, config.train.store
    filesystem: FileSystem | None = None
    opened = open_store(store)
    if isinstance(opened, S3Store):
        filesystem, store = s3_filesystem(opened), store.removeprefix("s3://")
    else:
        with folder_errors_told(f"make {RAY_FOLDER}", store):
            Path(store, RAY_FOLDER).mkdir(parents=True, exist_ok=True)
    referee: Any = Referee(train.restarts, train.start_seconds, train.worker_range[0], board)
    return RunConfig(
        name=train.name,
        storage_path=f"{store.rstrip('/')}/{RAY_FOLDER}",
        storage_filesystem=filesystem,
        failure_config=FailureConfig(max_failures=-1),  # the referee sets the limits
        callbacks=[referee],
    )


def s3_filesystem(store: S3Store) -> "FileSystem":
    """S3 with timeouts and retries: pyarrow's default waits for ever on a server that falls silent. Endpoint and
    region are those that boto3 found in the environment or the profile, where pyarrow does not look for them."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    scheme, _, host = store.endpoint_url.partition("://")
    return S3FileSystem(
        endpoint_override=host, scheme=scheme, region=store.region, connect_timeout=5, request_timeout=60,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=10),
    )  # fmt: skip
