"""Labelling many pictures: in this process, or by Ray Data over the cluster.

What the labellers made comes back here and is written here, so only the pictures must be where all nodes see them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import torch

from wsshm.blended_labels.labeller import Labeller, Task
from wsshm.blended_labels.labels import LabelFolder, kinds_of
from wsshm.data.manifest import Manifest, Sample
from wsshm.errors import UserError

AT_ONCE = 4
"""Pictures that a labeller is handed at once: what a killed command may have to do again, times labellers."""


@dataclass(frozen=True)
class Labellers:
    """How many processes label, and what each takes of the cluster."""

    count: int
    cpus: float = 1.0
    gpus: float = 0.0
    others: dict[str, float] = field(default_factory=dict)


def make_labels(
    manifest: Manifest, samples: list[Sample], folder: LabelFolder, task: Task, labellers: Labellers | None
) -> Iterator[tuple[Sample, str]]:
    """Label samples of `manifest` and write them, each yielded once it is written.

    With it comes "", or a sentence that says why it could not be labelled; the others go on. `labellers` None labels
    in this process, without a cluster.
    """
    by_id = {sample.id: sample for sample in samples}
    rows = [
        {"id": s.id, "image": str(manifest.path(s, "image")), "mask": str(manifest.path(s, "mask"))} for s in samples
    ]
    answers = _here(rows, task) if labellers is None else _by_ray_data(rows, task, labellers)
    for answer in answers:
        sample = by_id[answer["id"]]
        if not answer["error"]:
            folder.write(sample, answer)
        yield sample, answer["error"]


def _here(rows: Iterable[dict[str, str]], task: Task) -> Iterator[dict[str, Any]]:
    labeller = Labeller(task)
    return (_answer(labeller, row) for row in rows)


def _answer(labeller: Labeller, row: dict[str, str]) -> dict[str, Any]:
    try:
        return {"id": row["id"], "error": "", **labeller(Path(row["image"]), Path(row["mask"]))}
    except UserError as error:
        return {"id": row["id"], "error": str(error)}


class _RayLabeller:
    """A `Labeller` as Ray Data calls it: tables of pictures in, tables of PNGs out."""

    def __init__(self, task: ray.ObjectRef, threads: int) -> None:
        torch.set_num_threads(threads)
        self.labeller = Labeller(ray.get(task))
        self.schema = pa.schema(
            [("id", pa.string()), ("error", pa.string())]
            + [(kind, pa.binary()) for kind in kinds_of(self.labeller.task.blend)]
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([_answer(self.labeller, row) for row in table.to_pylist()], self.schema)


def _by_ray_data(rows: list[dict[str, str]], task: Task, labellers: Labellers) -> Iterator[dict[str, Any]]:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    blocks = math.ceil(len(rows) / AT_ONCE)
    labelled = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _RayLabeller,
        batch_size=AT_ONCE,
        batch_format="pyarrow",
        fn_constructor_kwargs={"task": ray.put(task), "threads": max(1, int(labellers.cpus))},
        compute=ray.data.ActorPoolStrategy(size=min(labellers.count, blocks)),
        num_cpus=labellers.cpus,
        num_gpus=labellers.gpus,
        resources=labellers.others,
    )
    for table in labelled.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from table.to_pylist()  # type: ignore[union-attr]
