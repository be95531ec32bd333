"""What the store keeps of a peer: a row of `runs` that gives its scores a name, with its licence and its file's hash."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from bench import provenance
from bench.peers.matting import PeerModel
from bench.store import FINISHED


def run_id(model: PeerModel) -> str:
    """The id of its scores and timings: of the file's contents, and how it is fed and read."""
    return model.description.run_id(model.sha256)


def run_row(model: PeerModel, started: datetime) -> dict[str, Any]:
    """The row of `runs`: no seed, labels, cost or training, which nobody here knows; the description as `config`."""
    commit, dirty = provenance.git_state()
    told = model.description.model_dump(mode="json")
    about = {"name": model.name, "given": model.file.name, "given_sha256": model.sha256, "protocol": model.protocol}
    return {
        "run_id": run_id(model),
        "method": model.name,
        "config": json.dumps({"peer": told | about}),
        "status": FINISHED,
        "versions": json.dumps(provenance.versions() | {model.session.engine: model.session.version}),
        "git_commit": commit,
        "git_dirty": dirty,
        "started": started,
        "finished": provenance.now(),
    }
