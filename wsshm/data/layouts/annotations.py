"""Annotation files and the shapes in them: what layouts whose masks are drawn read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsshm.errors import UserError

MOST_BYTES = 4 << 30
BESIDE = 1.0
"""How far outside of its picture a point may lie, as a share of the picture's side."""


def read_json(path: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """What a JSON file holds; `hook` may replace each mapping in it as soon as it is read.

    UserError for an empty file, and for one that is not JSON.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise UserError(f"{path} has more than {MOST_BYTES >> 30} GiB, so it is not read; split it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not JSON (it is not UTF-8 text, at byte {error.start}); fetch it again") from None
    if not text.strip():
        raise UserError(f"{path} is empty; fetch the annotations again")
    try:
        return json.loads(text, object_hook=hook)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error.msg.lower()}, line {error.lineno}); fetch it again") from None
    except ValueError:  # Python reads no number of thousands of digits
        raise UserError(f"{path} holds a number too long to be an annotation's; fetch it again") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply to be annotations; fetch it again") from None


def whole(value: Any, what: str) -> int:
    """A whole number of at least 0; UserError, in which `what` names it, for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise UserError(f"{what} is {str(value)[:60]}, not a whole number of at least 0; correct the annotation")
    return value


def points(values: Sequence[Any], width: int, height: int, origin: str) -> NDArray[np.float64]:
    """Points x, y, x, y, ... or (x, y), ... of a shape as N x 2; UserError for what is none, or lies far outside."""
    try:
        array = np.array(values, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{origin} has a polygon that is no list of x and y; correct the annotation") from None
    far = np.abs(array - np.array([width, height]) / 2) > np.array([width, height]) * (0.5 + BESIDE)
    if len(array) and (not np.isfinite(array).all() or far.any()):
        raise UserError(f"{origin} has a polygon that leaves its picture of {width}x{height}; correct the annotation")
    return array
