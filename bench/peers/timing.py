"""The other side of `speed.py`, in the process that times: opens a peer's file and times its calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bench import provenance
from bench.peers import Given, Peer
from bench.peers.files import parameters
from bench.peers.matting import PeerModel, placed
from bench.peers.speed import PeerSpec
from bench.speed import Protocol
from bench.timing import timed


def check_peer(spec: PeerSpec) -> dict[str, Any]:
    """Open the file and run it once; raise UserError for what cannot be timed."""
    _opened(spec, None)(_picture(spec))
    return {}


def time_peer(spec: PeerSpec, protocol: Protocol, threads: int | None) -> dict[str, Any]:
    """The measured columns of a row of `speed`, with `settings` that belong into its `versions`.

    Both scopes go through a video of one picture: a recurrent network takes the states of the frame before.
    """
    if threads is not None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    threads = torch.get_num_threads()
    model, picture = _opened(spec, threads), _picture(spec)
    _, states = model.follow(picture, {})
    height, width = spec.height, spec.width
    if spec.scope == "model":
        feeds = model.feeds(picture, states)
        place = placed(spec.description.input, height, width)
        height, width = place.rows, place.columns

    def call() -> None:
        nonlocal states
        if spec.scope == "model":
            _, states = model.run({**feeds, **states})
        else:
            _, states = model.follow(picture, states)

    return {
        **timed(call, protocol, spec.device, spec.batch),
        "params": parameters(model.file, spec.description.format),
        "gmacs": None,
        "compile_s": None,
        "height": height,
        "width": width,
        "settings": {
            "device": provenance.device_name(spec.device, threads),
            "threads": threads,
            "file": model.file.name,
            "sha256": model.sha256,
            model.session.engine: model.session.version,
        },
    }


def _opened(spec: PeerSpec, threads: int | None) -> PeerModel:
    return PeerModel(Given(Peer(spec.name, spec.description), Path(spec.file)), threads)


def _picture(spec: PeerSpec) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), dtype=np.uint8)
