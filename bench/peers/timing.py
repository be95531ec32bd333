"""The other side of `speed.py`, in the process that times: opens a peer's file and times its calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bench import photos, provenance
from bench.blocks import leave_threads_to_the_engine, timed
from bench.peers import Given, Peer
from bench.peers.files import parameters
from bench.peers.matting import PeerModel, placed
from bench.peers.speed import PeerSpec
from bench.settings import Protocol
from wsshm.errors import UserError

FARTHEST = 0.02
"""How far an engine's matte may be from that of the file's usual engine; beyond it the engine is wrong."""


def check_peer(spec: PeerSpec) -> dict[str, Any]:
    """Open the file in its usual engine and run it once; raise UserError for what cannot be timed."""
    _opened(spec, None, spec.usual)(_picture(spec))
    return {}


def time_peer(spec: PeerSpec, protocol: Protocol, threads: int | None) -> dict[str, Any]:
    """What this process measured of a peer, as `bench.timing.time_model` has it.

    Both scopes go through a video of one picture: a recurrent network takes the states of the frame before, and those after
    the first frame are of the file's usual engine.
    """
    if threads is not None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    threads = torch.get_num_threads()
    settings = {
        "device": provenance.device_name(spec.device, threads),
        "threads": threads,
        "file": Path(spec.file).name,
    }
    settings["sha256"] = spec.sha256
    farthest, shown, picture = None, _shown(spec), _picture(spec)
    usual = _opened(spec, threads, spec.usual)
    model = usual
    _, after_first = usual.follow(shown, {})  # some engines cannot take the empty states before it
    if spec.engine != spec.usual:
        try:
            model = _opened(spec, threads, spec.engine)
            found = model.follow(shown, after_first)[0].matte
        except UserError as error:
            return {"status": "unavailable", "reason": str(error), "settings": settings}
        farthest = float(np.abs(found - usual.follow(shown, after_first)[0].matte).max())
    settings[model.session.engine] = model.session.version
    _, states = model.follow(picture, after_first)
    height, width = spec.height, spec.width
    if spec.scope == "model":
        feeds = model.feeds(picture, states)
        place = placed(spec.description.input, height, width)
        height, width = place.rows, place.columns

    leave_threads_to_the_engine()

    def call() -> None:
        nonlocal states
        if spec.scope == "model":
            _, states = model.run({**feeds, **states})
        else:
            _, states = model.follow(picture, states)

    answer = {
        "params": parameters(model.file, spec.description.format),
        "max_difference": farthest,
        "sizes": {"height": height, "width": width},
        "settings": settings,
    }
    if farthest is not None and not farthest <= FARTHEST:
        said = (
            f"its mattes differ from those of {spec.usual} by up to {farthest:.2g}, where {FARTHEST:g} may be rounding"
        )
        return {**answer, "status": "wrong", "reason": said}
    return {**answer, "blocks": {spec.scope: timed(call, protocol, spec.device)}}


def _opened(spec: PeerSpec, threads: int | None, engine: str) -> PeerModel:
    return PeerModel(Given(Peer(spec.name, spec.description), Path(spec.file)), threads, engine)


def _picture(spec: PeerSpec) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), dtype=np.uint8)


def _shown(spec: PeerSpec) -> np.ndarray:
    """A photo with a person, H x W x 3 uint8."""
    photo = photos.drawn(1, spec.height, spec.width)[0]
    return np.ascontiguousarray((photo * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
