"""One picture and its mask to a label, by a teacher: the work that is done many times."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from wsshm.blended_labels.labels import kinds_of
from wsshm.blending import blend
from wsshm.config import BlendConfig
from wsshm.data.pictures import check_same_size, read_image, read_mask
from wsshm.errors import UserError
from wsshm.models.checkpoint import CARD, WEIGHTS, card_file, load_model
from wsshm.models.network import MattingModel
from wsshm.prediction.forward import predict_matte
from wsshm.prediction.protocols import NATIVE, Short

Float32 = NDArray[np.float32]

VIEW = 1.2
"""A teacher labels whole photos at so many times the training size: training shows crops of half to all of a photo,
1.17 times as large as the whole would be on average. At the training size itself students came out 4 to 6 % worse by
SAD than with labels from the loop, at 1.2 times it 1 % (`README.md`)."""


class Task(NamedTuple):
    """What a process needs to label pictures, wherever it runs: the teacher's two files, the blend, the size."""

    weights: bytes
    card: bytes
    blend: BlendConfig
    size: int
    device: str = "cpu"

    @classmethod
    def of(cls, teacher: Path, blend: BlendConfig, size: int, device: str = "cpu") -> Task:
        """The task of the model in the folder `teacher`, read here so that other machines need not see the folder."""
        load_model(teacher)  # says what is wrong with it, once
        return cls((teacher / WEIGHTS).read_bytes(), card_file(teacher).read_bytes(), blend, size, device)


class Labeller:
    """A teacher that labels pictures."""

    def __init__(self, task: Task) -> None:
        self.task = task
        with TemporaryDirectory(prefix="wsshm-") as name:
            Path(name, WEIGHTS).write_bytes(task.weights)
            Path(name, CARD).write_bytes(task.card)
            self.model = load_model(name)[0].to(task.device)

    def __call__(self, image: Path, mask: Path) -> dict[str, bytes]:
        """{kind: PNG} of a picture and its mask. UserError for a file that is broken, or a picture too large."""
        pixels, person = read_image(image), read_mask(mask)
        check_same_size(pixels, person, mask)
        try:
            blended = label_picture(self.model, pixels, person, self.task.blend, self.task.size, self.task.device)
        except RuntimeError as error:  # torch's own class for it on a GPU only
            if "memory" not in str(error):
                raise
            raise UserError(f"{image} does not fit into the memory of {self.task.device} at this size") from error
        return {kind: _png(blended[kind]) for kind in kinds_of(self.task.blend)}


@torch.inference_mode()
def label_picture(
    teacher: MattingModel,
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    config: BlendConfig,
    size: int,
    device: str,
) -> dict[str, Float32]:
    """{label, share, weight}, each H x W in [0, 1], of a picture H x W x 3 and its mask H x W of 0 and 1.

    The teacher sees the whole picture at the protocol short`size`. Where that is smaller than the picture, the blend
    is made at the teacher's size; its share and the teacher's matte are then enlarged bilinearly and the label is
    M~ = A M' + (1 - A) S with the mask's own pixels.
    """
    height, width = mask.shape
    rule = Short(size)
    rows, columns = rule.sizes(height, width)[0]
    if rows >= height:
        matte, boundary = predict_matte(teacher, image, rule, device=device)
        return _blended(mask, matte, boundary, config, device)

    def enlarged(values: Float32) -> Float32:
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)

    smaller = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.uint8)
    coarse = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA) > 0.5
    matte, boundary = predict_matte(teacher, smaller, NATIVE, device=device)
    blended = _blended(coarse, matte, boundary, config, device)
    share = enlarged(blended["share"])
    return {
        "label": share * enlarged(matte) + (1 - share) * mask.astype(np.float32),
        "share": share,
        "weight": (enlarged(blended["weight"]) > 0.5).astype(np.float32),
    }


def size_seen(training_size: int) -> int:
    """The shorter side in pixels at which a teacher of a training size labels whole photos."""
    return round(VIEW * training_size)


def _blended(mask: NDArray, matte: Float32, boundary: Float32, config: BlendConfig, device: str) -> dict[str, Float32]:
    maps = np.stack([mask, matte, boundary]).astype(np.float32)
    person, alpha, edge = torch.from_numpy(maps)[:, None, None].to(device)
    blended = blend(person, alpha, edge, config)
    return {kind: values[0, 0].cpu().numpy() for kind, values in blended._asdict().items()}


def _png(values: Float32) -> bytes:
    _, encoded = cv2.imencode(".png", np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))
    return encoded.tobytes()
