"""The tiles verbs from options to what is printed, listed and drawn."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from satgan.__main__ import main
from satgan.bar import Bar
from tests.tiles.sample_tiles import textured


def test_cut_inspect_and_show_from_words_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = textured(1, 64, 3)[0].copy()
    pixels[:16, :16] = 7
    pixels[:16, 16:32] = pixels[48:, 48:]
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    made, sheet = tmp_path / "set", tmp_path / "sheet.png"
    words = ["tiles", "cut", str(tmp_path / "a.tif"), str(made), "--size", "16", "--bands", "3,2,1", "--json"]
    assert main([*words, "--contact-sheet", str(sheet)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"tile_set": str(made), "accepted": 14, "rejected": {"flat": 1, "duplicate": 1}}
    assert told.err == ""
    assert np.load(made / "shard-000000.npy").shape == (14, 16, 16, 3)
    with Image.open(sheet) as drawn:
        assert drawn.width > 8 * 16
    listing = tmp_path / "listing.parquet"
    words = ["tiles", "inspect", str(made), "--limit", "saturated=0.001", "--rejected", str(listing), "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tiles"] == 14
    assert found["rejected"]["saturated"] == parquet.read_table(listing).num_rows
    assert main(["tiles", "inspect", str(made)]) == 0
    assert re.search(r"^figures \(least, mean, most\): .* 0, 0, 0; detail ", capsys.readouterr().out, re.MULTILINE)
    assert main(["tiles", "show", str(made), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["sources"] == {"a.tif": 14}
    assert shown["cut"] == {"size": 16, "stride": 16, "bands": [3, 2, 1]}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals_only() -> None:
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        bar = Bar(stream)
        bar(500, 1000)
        bar(500, 1000)
        bar.close()
        assert ("[##############################] 1,000 of 1,000 tiles" in stream.getvalue()) == shown
        assert bool(stream.getvalue()) == shown
        bar(250, 250)
        assert ("] 250 of 250 tiles" in stream.getvalue()) == shown
    assert Bar(io.StringIO()).text(None, 1.0) == "0 tiles · 0 tiles/s"
