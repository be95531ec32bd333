"""PyTorch's own operators, recorded once as a CUDA graph and then launched together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.engines import Engine, Setting, register

if TYPE_CHECKING:
    import torch

WARM_UP = 3  # calls before recording, in which libraries choose their kernels and take memory


def prepare(network: torch.nn.Module, images: torch.Tensor, setting: Setting) -> Callable[[torch.Tensor], Any]:
    """The recorded network: images are copied to where it reads them, which is timed, and its mattes are overwritten by
    the next call.
    """
    import torch

    held = images.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            network(held)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        mattes = network(held)

    def run(images: torch.Tensor) -> torch.Tensor:
        held.copy_(images)
        graph.replay()
        return mattes

    return run


def unavailable(device: str, precision: str) -> str | None:
    """CUDA graphs are of GPUs."""
    return None if device == "cuda" else "CUDA graphs need --device cuda"


register(Engine("cudagraph", "PyTorch in a CUDA graph", prepare, compiles=True, unavailable=unavailable))
