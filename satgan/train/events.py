"""TensorBoard events, written as they come: tensorboardX's own writer has a thread that a full disk kills unheard."""

import time
from pathlib import Path
from typing import Any

from satgan.tiles.folder import folder_errors_told


class Events:
    """An events file of one attempt at a run.

    Args:
        folder: where TensorBoard will look; made if it is not there.
        start_step: TensorBoard forgets what earlier attempts wrote after it.
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._place = str(folder)
        with folder_errors_told("write TensorBoard events", self._place):
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = RecordWriter(str(folder / f"events.out.tfevents.{int(time.time())}.step-{start_step:08d}"))
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
            # TensorBoard drops what it has from that step on: also where a run begins anew that reached no checkpoint.
            restart = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=start_step + 1, session_log=restart))

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """Scalars of a step, by name."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        with folder_errors_told("write TensorBoard events", self._place):
            for name, value in numbers.items():
                self._write(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
            self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        with folder_errors_told("write TensorBoard events", self._place):
            self._writer.close()

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
