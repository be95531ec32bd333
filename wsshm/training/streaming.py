"""`data.loading: ray`: samples made by Ray Data on any CPUs of the cluster, streamed to the worker that trains on them.

Each worker has a stream of its own, over its own slots in order of steps. One stream for all of them, dealt out by Ray
Data's `streaming_split`, would hand each worker whatever is ready first, so that what a worker sees, and where a resumed
run goes on, would depend on timing.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import pickle
import warnings
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import pyarrow as pa
import ray
import ray.data
import torch
from numpy.typing import NDArray

from wsshm.config import RunConfig
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.methods.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from wsshm.training.batches import StepDataset

Rows = Generator[dict[str, Any], None, None]
log = logging.getLogger(__name__)

SEGMENT = 4096
"""Micro-batches of one Ray Data pipeline; a longer stage has several, one after the other. Planning takes about a
millisecond for each."""

STORE_SHARE = 0.5
"""Part of the cluster's object store that all streams of a run may fill with samples not yet trained on."""

TIMEOUT_S = 300.0
"""How long a worker waits for a micro-batch."""

SCHEMA = pa.schema(
    [
        *(("frame", pa.large_binary()), ("buffers", pa.list_(pa.large_binary()))),
        *(("error", pa.string()), ("node", pa.string())),
    ]
)
"""A micro-batch: its pickle, and apart from it the bytes of its arrays, which nobody copies; or why there is none."""


def streamed(dataset: StepDataset, config: RunConfig, share: Iterable[list[int]], workers: int) -> Iterator[Any]:
    """The micro-batches of these sample numbers, in order, for one of `workers` workers of a run.

    Raises UserError with the sentence of a sample that cannot be made, and where none comes in `TIMEOUT_S`.
    """
    recipe = _Recipe(config, dataset.stage, dataset.labels, dataset.sources.fingerprint)
    numbers, nodes = iter(share), Counter[str]()
    while segment := list(itertools.islice(numbers, SEGMENT)):
        with contextlib.closing(_in_time(_rows(recipe, segment, workers), config)) as rows:
            for row in rows:
                if row["error"]:
                    raise UserError(row["error"])
                nodes[row["node"]] += 1
                yield pickle.loads(row["frame"], buffers=row["buffers"])  # made by our own actors
    log.info("micro-batches by the node that made them: %s", dict(nodes))


@dataclass(frozen=True)
class _Recipe:
    """What an actor needs to make samples: it opens the data itself, as every worker does on its node."""

    config: RunConfig
    stage: Stage
    labels: Path | None
    fingerprint: str

    def dataset(self) -> StepDataset:
        """The stage's samples. UserError where this node does not see the same data."""
        from wsshm.training.batches import StepDataset

        sources = open_sources(self.config.data)
        if sources.fingerprint != self.fingerprint:
            raise UserError(
                "the data is not the same on every node; rerun the command once all nodes see the same files"
            )
        return StepDataset(sources, self.stage, self.config, self.labels)


class _Maker:
    """Makes micro-batches in an actor of Ray Data: numbers of samples in, pickled batches out."""

    def __init__(self, recipe: _Recipe) -> None:
        self.recipe = recipe
        self.samples: StepDataset | None = None
        torch.set_num_threads(1)
        cv2.setNumThreads(0)

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([self._made(row["numbers"]) for row in table.to_pylist()], SCHEMA)

    def _made(self, numbers: list[int]) -> dict[str, Any]:
        row = {"frame": b"", "buffers": [], "error": "", "node": ray.get_runtime_context().get_node_id()}
        try:
            self.samples = self.samples or self.recipe.dataset()
            samples = self.samples
            frame, buffers = packed(samples.collate(samples.__getitems__(numbers)))
        except UserError as error:
            return row | {"error": str(error)}
        return row | {"frame": frame, "buffers": buffers}


class _Pickler(pickle.Pickler):
    """Pickles tensors as NumPy arrays, whose bytes may stay out of the pickle; those of tensors do not."""

    def reducer_override(self, value: Any) -> Any:
        return (_tensor, (value.numpy(),)) if isinstance(value, torch.Tensor) else NotImplemented


def packed(batch: Any) -> tuple[bytes, list[memoryview]]:
    """A batch's pickle and the bytes of its arrays, as `pickle.loads(frame, buffers=buffers)` takes them.

    What is loaded from bytes that cannot be written to must only be read.
    """
    file, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(file, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append).dump(batch)
    return file.getvalue(), [buffer.raw() for buffer in buffers]


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the object store's memory is not writable
        return torch.from_numpy(array)


def _rows(recipe: _Recipe, segment: list[list[int]], workers: int) -> Rows:
    """A row for each micro-batch, in order."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    options = context.execution_options
    options.preserve_order = True
    room = ray.cluster_resources().get("object_store_memory", 0.0) * STORE_SHARE / workers
    options.resource_limits = ray.data.ExecutionResources.for_limits(object_store_memory=room)
    # A block for each micro-batch, put into the object store right here: a task that reads it would need another CPU.
    rows = ray.data.from_items([{"numbers": numbers} for numbers in segment], override_num_blocks=len(segment))
    made = rows.map_batches(
        _Maker,
        batch_size=1,
        batch_format="pyarrow",
        fn_constructor_args=(recipe,),
        compute=ray.data.ActorPoolStrategy(size=min(recipe.config.stream_cpus, len(segment))),
        num_cpus=1,
        scheduling_strategy="DEFAULT",  # which keeps away from nodes with GPUs while others have room
    )
    with contextlib.closing(
        iter(made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2))
    ) as tables:  # type: ignore[type-var]
        for table in tables:
            yield from _read(table)


def _read(table: pa.Table) -> Iterator[dict[str, Any]]:
    """A table's rows, their bytes left where they are."""
    for frame, buffers, error, node in zip(*(table[name] for name in SCHEMA.names), strict=True):
        yield {
            **{"frame": frame.as_buffer(), "buffers": [one.as_buffer() for one in buffers.values]},
            **{"error": error.as_py(), "node": node.as_py()},
        }


def _in_time(rows: Rows, config: RunConfig) -> Rows:
    """The same rows, the next one asked for in a thread while one is used; UserError where it does not come."""
    thread = ThreadPoolExecutor(1)
    try:
        coming = thread.submit(next, rows, None)
        while row := _awaited(coming, config):
            coming = thread.submit(next, rows, None)
            yield row
    finally:
        thread.submit(rows.close)
        thread.shutdown(wait=False)


def _awaited(coming: Any, config: RunConfig) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] | None = coming.result(TIMEOUT_S)
        return row
    except TimeoutError:
        free = ray.available_resources().get("CPU", 0.0)
        raise UserError(
            f"Ray Data has made no sample for {TIMEOUT_S:.0f} s: each worker's need {config.stream_cpus} CPUs"
            f" (train.loader_workers), and {free:g} of the cluster's are free; lower it, add nodes, or set data.loading: local"
        ) from None
