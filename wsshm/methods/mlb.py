"""Matte Label Blending: a teacher from composites, then a student on natural pictures with blended labels.

The paper's two steps; `refresh` > 1 is ours: the student's steps are split into that many rounds, and from the
second on the student of the round before is the teacher.
"""

from itertools import pairwise

from wsshm.config import RunConfig
from wsshm.methods.stage import PhotoLabel, Stage
from wsshm.methods.teacher import teacher


def stages(config: RunConfig) -> list[Stage]:
    """The teacher and `refresh` rounds of the student."""
    return with_label(config, "blended")


def with_label(config: RunConfig, label: PhotoLabel) -> list[Stage]:
    """MLB's stages with another label on the natural pictures: the controls differ from MLB in nothing else."""
    method = config.method
    result = [teacher(config)]
    rest = config.train.steps - config.train.teacher_steps
    ends = [rest * k // method.blend.refresh for k in range(method.blend.refresh + 1)]
    for number, (begin, end) in enumerate(pairwise(ends), 1):
        previous = result[-1].name
        follows = method.student_start == "teacher" or number > 1
        result.append(
            Stage(
                "student" if method.blend.refresh == 1 else f"student{number}",
                end - begin,
                matte_share=method.matte_share or 0.0,
                photo_label=label,
                start=previous if follows else None,
                teacher=previous if label != "truth" else None,
                blend=method.blend if label in ("blended", "masklabel") else None,
                photo_weight=method.blended_weight,
                confidence=method.confidence if label == "pseudo" else 0.0,
                threshold=method.blend.threshold if label == "pseudo" else 0.0,
            )
        )
    return result
