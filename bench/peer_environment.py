"""An environment of the bench's own, with the loaders that ours is compared with."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

PACKAGES = (
    "s3torchconnector==1.5.0", "s3torchconnectorclient==1.5.0", "webdataset==1.0.2", "braceexpand==0.1.7",
    "mosaicml-streaming==0.13.0", "catalogue==2.0.10", "Brotli==1.2.1", "python-snappy==0.7.3", "cramjam==2.14.0",
    "zstd==1.5.7.2", "zstandard==0.25.0",
)  # fmt: skip
"""Without what they ask for besides: torch, boto3, ray and NumPy are those that satgan runs with (mosaicml-streaming
asks for an older NumPy, which it does not need here)."""

STAMP = "installed"


def peer_python(folder: Path) -> Path | None:
    """The python of the environment in `folder`, made on first use; None, with pip's words on stderr, if it fails."""
    python, stamp = folder / "bin" / "python", folder / STAMP
    wanted = " ".join(PACKAGES)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    venv.create(folder, with_pip=True, clear=True)
    site = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    # After its own packages, those of the environment that runs the bench.
    (Path(site) / "zz-satgan.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        return None
    stamp.write_text(wanted)
    return python
