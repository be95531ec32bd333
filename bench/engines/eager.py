"""PyTorch as it is: every operator is called from Python."""

from __future__ import annotations

from bench.engines import Engine, register

register(Engine("eager", "PyTorch, operator by operator", lambda network, images, setting: network, any_size=True))
