"""A contact sheet of training samples, by the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.wsshm import tiny
from wsshm.__main__ import main
from wsshm.data.pictures import read_image
from wsshm.data.sources import open_sources
from wsshm.methods import stages_of
from wsshm.training.batches import StepDataset


@pytest.mark.parametrize("method", ["joint", "mlb"])
def test_the_sheet_shows_what_is_trained_on(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny.config(tiny.make(tmp_path / "data"), method)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    out = tmp_path / "sheet.png"
    words = [
        "wsshm",
        "data",
        "samples",
        tmp_path / "run.yaml",
        "--out",
        out,
        "--step",
        "1",
        "--set",
        "method.blend.when=ahead",
    ]
    monkeypatch.setattr("sys.argv", list(map(str, words)))
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    sheet = read_image(out)
    stages = stages_of(config)
    dataset = StepDataset(open_sources(config.data), stages[0], config)
    batch = dataset.collate([dataset[4 + slot] for slot in range(4)]).render(torch.device("cpu"))
    for picture in (*batch.images, *batch.labels.expand(-1, 3, -1, -1)):
        pixels = np.rint(picture.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 1], (tiny.SIZE, tiny.SIZE))
        corner = (windows[..., 0, 0] == pixels[0, 0, 1]) & (windows[..., 31, 31] == pixels[31, 31, 1])
        assert any(np.array_equal(windows[y, x], pixels[..., 1]) for y, x in np.argwhere(corner))
