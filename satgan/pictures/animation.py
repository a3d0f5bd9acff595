"""Moving pictures: frames as animated WebP or GIF by Pillow, as MP4 by ffmpeg where that is installed."""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from satgan.errors import ConfigError, SatganError
from satgan.pictures.grid import Tiles, visible

FRAMES_PER_SECOND = 20
"""GIF counts in hundredths of a second, so 50 ms a frame is what all three formats can say."""

ANIMATIONS = (".webp", ".gif", ".mp4")
"""Endings of the names of moving pictures."""

WEBP_QUALITY, MP4_QUALITY = 90, 18
"""Of 100, higher is better; and x264's constant rate factor, where lower is better and 18 looks like the original."""


def refuse_animation(ending: str) -> None:
    """ConfigError where this machine cannot write a moving picture of that ending; better before it is drawn."""
    if ending == ".mp4" and shutil.which("ffmpeg") is None:
        raise ConfigError("MP4 needs ffmpeg, which is not installed", "install it, or give a name in .webp or .gif")


def animation(frames: Sequence[Tiles], ending: str) -> bytes:
    """Frames as a moving picture that begins anew when it is through.

    Args:
        frames: `[H, W, C]` uint8 each, of one shape; at least one.
        ending: one of `ANIMATIONS`.

    Raises:
        SatganError: ffmpeg failed.
    """
    pictures = [Image.fromarray(visible(frame)).convert("RGB") for frame in frames]
    if ending == ".mp4":
        return _mp4(pictures)
    how = {"quality": WEBP_QUALITY} if ending == ".webp" else {"optimize": True}
    memory, duration_milliseconds = io.BytesIO(), 1000 // FRAMES_PER_SECOND
    pictures[0].save(
        memory, ending[1:], save_all=True, append_images=pictures[1:], duration=duration_milliseconds, loop=0, **how
    )
    return memory.getvalue()


def _mp4(pictures: Sequence[Image.Image]) -> bytes:
    """H.264 in a form that browsers play: yuv420p, which takes even sizes only, and the index before the frames."""
    width, height = pictures[0].size
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FRAMES_PER_SECOND), "-i", "-"]
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white"]
    h264 = ["-c:v", "libx264", "-crf", str(MP4_QUALITY), "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    with tempfile.TemporaryDirectory(prefix="satgan-") as folder:  # the index is written last: no pipe will do
        path = Path(folder, "film.mp4")
        command = ["ffmpeg", "-v", "error", *raw, *even, *h264, str(path)]
        done = subprocess.run(command, input=b"".join(map(Image.Image.tobytes, pictures)), capture_output=True)
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
            raise SatganError(f"ffmpeg could not write the film: {told}", "give a name in .webp or .gif")
        return path.read_bytes()
