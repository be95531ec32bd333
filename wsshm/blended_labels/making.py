"""Labelling many pictures: in this process, or by Ray Data over the cluster.

What the labellers made comes back here and is written here, so only the pictures must be where all nodes see them: on a
shared disk, or an object store.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from wsshm.blended_labels.labeller import Labeller, Task
from wsshm.blended_labels.labels import LabelFolder, kinds_of
from wsshm.data.manifest import Manifest, Sample
from wsshm.errors import UserError

if TYPE_CHECKING:
    import ray

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
    listed = Manifest(manifest.root, samples)
    answers = _here(listed, task) if labellers is None else _by_ray_data(listed, task, labellers)
    for answer in answers:
        sample = by_id[answer["id"]]
        if not answer["error"]:
            folder.write(sample, answer)
        yield sample, answer["error"]


def _here(listed: Manifest, task: Task) -> Iterator[dict[str, Any]]:
    labeller = Labeller(task)
    return (_answer(labeller, listed, sample) for sample in listed.in_turn())


def _answer(labeller: Labeller, listed: Manifest, sample: Sample) -> dict[str, Any]:
    try:
        with listed.told_by_address(sample):
            pngs = labeller(listed.path(sample, "image"), listed.path(sample, "mask"))
        return {"id": sample.id, "error": "", **pngs}
    except UserError as error:
        return {"id": sample.id, "error": str(error)}


class _RayLabeller:
    """A `Labeller` as Ray Data calls it: tables of pictures in, tables of PNGs out."""

    def __init__(self, listed: ray.ObjectRef, task: ray.ObjectRef, threads: int) -> None:
        import ray

        torch.set_num_threads(threads)
        self.labeller = Labeller(ray.get(task))
        self.listed: Manifest = ray.get(listed)
        self.schema = pa.schema(
            [("id", pa.string()), ("error", pa.string())]
            + [(kind, pa.binary()) for kind in kinds_of(self.labeller.task.blend)]
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        samples = [self.listed.samples[number] for number in table["number"].to_pylist()]
        answers = [_answer(self.labeller, self.listed, sample) for sample in self.listed.in_turn(samples)]
        return pa.Table.from_pylist(answers, self.schema)


def _by_ray_data(listed: Manifest, task: Task, labellers: Labellers) -> Iterator[dict[str, Any]]:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    blocks = math.ceil(len(listed) / AT_ONCE)
    rows = [{"number": number} for number in range(len(listed))]
    labelled = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _RayLabeller,
        batch_size=AT_ONCE,
        batch_format="pyarrow",
        fn_constructor_kwargs={
            "listed": ray.put(listed),
            "task": ray.put(task),
            "threads": max(1, int(labellers.cpus)),
        },
        compute=ray.data.ActorPoolStrategy(size=min(labellers.count, blocks)),
        num_cpus=labellers.cpus,
        num_gpus=labellers.gpus,
        resources=labellers.others,
    )
    for table in labelled.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from table.to_pylist()  # type: ignore[union-attr]
