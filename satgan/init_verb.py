"""The verb `satgan init DIR`: a folder for the user's own project, with files to fill in."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from satgan.errors import InputError
from satgan.options import Parser
from satgan.tiles.folder import folder_errors_told

SOURCE = Path(__file__).resolve().parent.parent
"""The checkout that satgan runs from."""

CONFIG = """\
# The settings of your runs, between the preset and the options of the command line:
#
#   satgan tiles cut IMAGERY tiles/mine --size 64 --contact-sheet look.png
#   satgan doctor --config config.yaml                       what stands against it, before anything starts
#   satgan train dcgan --config config.yaml                  the same command again resumes; without a GPU: train demo
#   satgan sweep spaces/learning_rates.yaml dcgan --config config.yaml
#
# `satgan train dcgan --help` lists every option with default, unit and rule; here they stand below their group.
tiles:
  source: tiles/mine          # or s3://bucket/tiles/mine
train:
  store: runs                 # or s3://bucket/runs
  name: first
  seed: 1234
  steps: 20000
# recipe:
#   generator_learning_rate: 2.0e-4
#   discriminator_learning_rate: 1.5e-4
"""
COPIED = ("cluster.yaml", "aws/stack.yaml")
MOUNTED = re.compile(r"(?m)^(  /home/ubuntu/\S+: )([\w.]+)$")
"""What cluster.yaml mounts of the checkout, by paths relative to it."""


def init(words: Sequence[str]) -> None:
    """Makes the folder and prints what is in it; nothing that is there is touched."""
    parser = Parser(prog="satgan init", description="write config.yaml, cluster.yaml, aws/ and spaces/ into a folder")
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new folder, or one without these files")
    folder: Path = parser.parse_all(words).folder
    texts = {"config.yaml": CONFIG} | {name: _copied(name) for name in _names()}
    there = [name for name in texts if (folder / name).exists()]
    if there:
        raise InputError(f"{folder} has {', '.join(there)} already", "give another folder; nothing was written")
    with folder_errors_told("write the project", str(folder)):
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    print("\n".join(str(folder / name) for name in texts))
    print(f"config.yaml tells what to type next, in {folder}", file=sys.stderr)


def _names() -> list[str]:
    if not (SOURCE / "cluster.yaml").exists():
        found = f"{SOURCE} is no checkout of satgan: it has no cluster.yaml"
        raise InputError(
            found, "clone the repository and run its scripts/train once; its .venv/bin/satgan has the files"
        )
    return [*COPIED, *(f"spaces/{path.name}" for path in sorted((SOURCE / "tune" / "spaces").glob("*.yaml")))]


def _copied(name: str) -> str:
    text = (SOURCE / name.replace("spaces/", "tune/spaces/")).read_text()
    return MOUNTED.sub(lambda found: f"{found[1]}{SOURCE / found[2]}", text) if name == "cluster.yaml" else text
