"""A run under Ray Train: several workers, one pair of networks. The only user of Ray in this room."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train
from ray.train import CheckpointUploadMode, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from satgan.config import Config
from satgan.errors import InputError, SatganError
from satgan.tiles.folder import folder_errors_told
from satgan.tiles.store import S3Store, open_store
from satgan.train.device import cores
from satgan.train.loop import train_loop
from satgan.train.outcome import Outcome
from satgan.train.progress import Progress
from satgan.train.stop import StopSignals
from satgan.train.watch import Watch, say_on_stderr

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

POLL_SECONDS = 0.5
CONNECT_SECONDS = 5
OBJECT_STORE_BYTES = 150 * 2**20
"""Nothing large goes through Ray's object store."""
CONTROLLER_FAILURES = 10
"""How often workers may fail to start, each time after a minute; Ray would try for ever."""
RAY_FOLDER = ".ray"
"""Where Ray Train keeps its own records, beside the runs."""


class Noticeboard:
    """A small actor on which worker 0 pins the newest progress and lines for the user, and from which the driver reads
    them; and the driver pins there that the run is to stop."""

    def __init__(self) -> None:
        self._newest: Progress | None = None
        self._said: list[str] = []
        self._stop = False
        self._error: SatganError | None = None

    def pin(self, progress: Progress) -> None:
        """Worker 0 tells how far it is. A checkpoint's line is not lost behind the next one."""
        if self._newest is None or not self._newest.at_checkpoint or progress.at_checkpoint:
            self._newest = progress

    def take(self) -> Progress | None:
        """The newest progress that was not taken yet."""
        newest, self._newest = self._newest, None
        return newest

    def say(self, text: str) -> None:
        """Worker 0 has a line for the user."""
        self._said.append(text)

    def hear(self) -> list[str]:
        """The lines that were not heard yet."""
        said, self._said = self._said, []
        return said

    def stop(self) -> None:
        """The driver wishes the run to save and stop."""
        self._stop = True

    def end(self, error: SatganError) -> None:
        """The run must end at once, without saving."""
        self._error = error

    def stopping(self) -> bool | SatganError:
        """Whether the driver wishes the run to stop, or what it must end for."""
        return self._error or self._stop


class _Trainer(TorchTrainer):
    """TorchTrainer that leaves Ctrl-C to the program: Ray's own handler ends it without a word."""

    def _register_sigint_handler(self, controller: Any) -> None:
        """Nothing: KeyboardInterrupt ends `fit`, and with the driver its Ray and the workers."""


def worker(about: dict[str, Any]) -> Any:
    """What every worker runs; its arguments travelled as plain values."""
    config, board = Config.model_validate(about["config"]), about["board"]
    report = _reporter()
    watch = Watch(progress=board.pin.remote, checkpoint=report, stop=_stop_asker(board), say=board.say.remote)
    outcome = train_loop(config, watch)
    return tuple(outcome) if outcome else None


def _stop_asker(board: Any) -> Callable[[], bool]:
    """Asks the board without waiting for it: an answer is used by a later call."""
    asked: list[Any] = []

    def stop() -> bool:
        if not asked:
            asked.append(board.stopping.remote())
        if not ray.wait(asked, timeout=0)[0]:
            return False
        answer: bool | SatganError = ray.get(asked.pop())
        if isinstance(answer, SatganError):
            raise answer
        return answer

    return stop


def _reporter() -> Callable[[int, str, dict[str, float]], None]:
    """Tells Ray Train of a checkpoint that stands in the store already: nothing is uploaded a second time."""

    def report(step: int, url: str, numbers: dict[str, float]) -> None:
        ray.train.report(
            {"step": step, "checkpoint_url": url, **numbers}, checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD
        )

    return report


def launch(
    config: Config, show: Callable[[Progress], None], say: Callable[[str], None] = say_on_stderr,
    check: Callable[[], None] = lambda: None,
) -> Outcome:  # fmt: skip
    """Trains on `train.workers` Ray Train workers, on the cluster that RAY_ADDRESS names or a local one.

    Args:
        config: as `start.prepare` gave it, with a number of workers from 1 to lanes.
        show: called in this process with the newest progress.
        say: called in this process with lines for the user.
        check: raises what the run must end for at once, without saving.

    Raises:
        Stopped: by Ctrl-C or SIGTERM, after a checkpoint.
        SatganError: what a worker raised, as it was.
    """
    workers = config.train.workers
    assert workers
    with _ray(workers) as gpus:
        board = ray.remote(num_cpus=0)(Noticeboard).remote()
        trainer = _Trainer(
            worker,
            train_loop_config={"config": config.model_dump(mode="json"), "board": board},
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
            run_config=_run_config(config),
            torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        )
        with StopSignals() as signals, _watching(board, show, say, check, signals):
            try:
                result: Any = trainer.fit()
            except ray.train.WorkerGroupError as error:
                raise _own_error(error) from None
            except ray.train.TrainingFailedError as error:
                raise _worker_lost(error) from None
    return Outcome(*result.return_value)


@contextmanager
def _ray(workers: int) -> Iterator[bool]:
    """Ray for the time of a run; yields whether the workers get GPUs.

    Raises:
        InputError: the cluster has fewer GPUs than workers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent behind the user's back
    started = not ray.is_initialized()
    address = os.environ.get("RAY_ADDRESS", "")
    if started and address:
        _check_reachable(address)
        ray.init(log_to_driver=False)
    elif started:
        ray.init(
            address="local", num_cpus=max(cores(), workers + 1), include_dashboard=False, log_to_driver=False,
            object_store_memory=OBJECT_STORE_BYTES, logging_level=logging.ERROR,
        )  # fmt: skip
    try:
        gpus = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
        if 0 < gpus < workers:
            raise InputError(
                f"{workers} workers, but the cluster has {gpus} GPU(s)", f"take --workers {gpus}, or add GPU nodes"
            )
        yield gpus > 0
    finally:
        if started:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself would try for a quarter of an hour.

    Raises:
        InputError: nobody answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # "auto" and "local"
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        found = f"no Ray cluster answers at RAY_ADDRESS={address}: {error}"
        raise InputError(found, "start the cluster, correct RAY_ADDRESS, or unset it to use this machine") from None


@contextmanager
def _watching(
    board: Any, show: Callable[[Progress], None], say: Callable[[str], None], check: Callable[[], None],
    signals: StopSignals,
) -> Iterator[None]:  # fmt: skip
    """Shows the newest progress and says what there is to say until the block ends, and passes the wish to stop, or
    what `check` raises, on."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(POLL_SECONDS):
            _show_newest(board, show, say)
            if signals.wished:
                board.stop.remote()
            try:
                check()
            except SatganError as error:
                board.end.remote(error)

    watcher = threading.Thread(target=look, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        _show_newest(board, show, say)


def _show_newest(board: Any, show: Callable[[Progress], None], say: Callable[[str], None]) -> None:
    try:
        progress, said = ray.get([board.take.remote(), board.hear.remote()], timeout=10)
    except ray.exceptions.RayError:
        return
    for text in said:
        say(text)
    if progress is not None:
        show(progress)


def _run_config(config: Config) -> RunConfig:
    store = config.train.store
    filesystem: FileSystem | None = None
    opened = open_store(store)
    if isinstance(opened, S3Store):
        filesystem, store = _s3_filesystem(opened), store.removeprefix("s3://")
    else:
        with folder_errors_told(f"make {RAY_FOLDER}", store):
            Path(store, RAY_FOLDER).mkdir(parents=True, exist_ok=True)
    return RunConfig(
        name=config.train.name,
        storage_path=f"{store.rstrip('/')}/{RAY_FOLDER}",
        storage_filesystem=filesystem,
        # mypy sees the class of Ray's former version.
        failure_config=FailureConfig(max_failures=0, controller_failure_limit=CONTROLLER_FAILURES),  # type: ignore[call-arg]
    )


def _s3_filesystem(store: S3Store) -> "FileSystem":
    """S3 with timeouts and retries: pyarrow's default waits for ever on a server that falls silent. Endpoint and
    region are those that boto3 found in the environment or the profile, where pyarrow does not look for them."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    scheme, _, host = store.endpoint_url.partition("://")
    return S3FileSystem(
        endpoint_override=host, scheme=scheme, region=store.region, connect_timeout=5, request_timeout=60,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=10),
    )  # fmt: skip


def _own_error(error: "ray.train.WorkerGroupError") -> Exception:
    """The worker's own SatganError where that is what failed it, else Ray's."""
    for failure in error.worker_failures.values():
        cause: BaseException | None = failure
        while cause is not None:
            if isinstance(cause, SatganError):
                return cause
            cause = getattr(cause, "cause", None) or cause.__cause__
    return _worker_lost(error)


def _worker_lost(error: Exception) -> SatganError:
    """For what Ray tells in its own words: a worker that was killed, or a failure within Ray."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return SatganError(
        f"training under Ray failed: {' '.join(lines)[:1500]}",
        "a killed worker often lacked memory: take a smaller --train.lane-batch under another --name, or fewer "
        "--workers; the same command goes on from the last checkpoint",
    )
