"""Training methods by name: the registry, from which configuration, reports, figures and sweeps know them.

A method is a list of stages, which one engine trains. To add one, write a file and name it in `WSSHM_PLUGINS` (or put it
into this folder as NAME.py, if it is to be one of ours):

    from wsshm.methods import TEACHER_STEPS, Method, register
    from wsshm.methods.stage import Stage

    def stages(config):
        first, rest = config.train.teacher_steps, config.train.steps - config.train.teacher_steps
        return [
            Stage("teacher", first, matte_share=1.0),
            Stage("student", rest, matte_share=0.5, photo_label="mask", start="teacher"),
        ]

    register(Method("matte_then_joint", stages, about="composites first, then both kinds", reads={TEACHER_STEPS}))

    WSSHM_PLUGINS=matte_then_joint.py wsshm train run.yaml --set method.name=matte_then_joint --out runs/mine

`Stage` says what a stage can be, `PhotoLabel` (beside it) how a method brings a label of its own, `Method.options` typed
options of its own. `tests/extending/halves.py` has all of it. This module imports no torch, nor should such a file at its
top, so that reports can be built without it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wsshm import plugins
from wsshm.errors import UserError
from wsshm.registry import Registry, typed

if TYPE_CHECKING:  # the configuration asks this module for names
    from wsshm.config import RunConfig, Section
    from wsshm.methods.stage import Stage

TEACHER_STEPS = "train.teacher_steps"
OWN_AVERAGE = "method.blend.teacher"


@dataclass(frozen=True)
class Method:
    """A training method, and what others need to know of it.

    `about` completes the sentence "NAME is ...". `reads` are those dotted keys of the configuration's section `method`, and
    `train.teacher_steps`, that change its stages: another value of a key that it does not read is not another run of it.
    Keys of all other sections are read by every method, and not named. Who reads `train.teacher_steps` has a first stage
    of so many steps, mostly the shared teacher; who reads `method.blend.teacher` may have its own average instead.

    In tables and legends methods stand by `order` (baselines 0 to 3, MLB 5, its controls after it), equal ones by name.
    A `control` answers a question and is never named as the best; `true_mattes` are the labels of one that is given true
    mattes where others have masks. `colour` (#rrggbb; None: a spare one) and `marker` are Matplotlib's. `options` are the
    typed keys of `method.options`, which no other method has; `options_of` gives them to its stages.
    """

    name: str
    stages: Callable[[RunConfig], list[Stage]]
    about: str
    reads: Set[str] = frozenset()
    order: float = 4
    control: bool = False
    true_mattes: bool = False
    colour: str | None = None
    marker: str = "X"
    options: type[Section] | None = None

    def __post_init__(self) -> None:
        if foreign := sorted(key for key in self.reads if key != TEACHER_STEPS and not key.startswith("method.")):
            raise UserError(
                f"the method {self.name!r} says that it reads {foreign[0]!r}; name keys of the section method, or"
                f" {TEACHER_STEPS}: every method reads the others"
            )

    @property
    def has_first_stage(self) -> bool:
        """Whether it has a stage before the others, `train.teacher_steps` long."""
        return TEACHER_STEPS in self.reads


METHODS: Registry[Method] = Registry("method", __name__, helpers=("average", "stage", "teacher", "windows"))
register, find, get = METHODS.register, METHODS.find, METHODS.get


def listed() -> list[Method]:
    """All methods in the order of tables and legends."""
    return sorted(METHODS.entries(), key=lambda method: (method.order, method.name))


def names() -> list[str]:
    """Their names, in that order."""
    return [method.name for method in listed()]


def options_of(config: RunConfig) -> Any:
    """The options of a run's method, as its own typed section; None for a method without any."""
    return typed(config.method.options, get(config.method.name).options, f"the method {config.method.name!r}")


def described(name: str) -> Method:
    """What is known of a method; of one whose file is not loaded, or that an older release had, what is true of any."""
    return find(name) or Method(name, _unknown, f"a method whose file is not loaded ({plugins.VARIABLE})")


@functools.cache
def read_by_some() -> frozenset[str]:
    """The keys that only some methods read."""
    return frozenset().union(*(method.reads for method in listed()))


def is_unread(name: str, key: str) -> bool:
    """Whether a method does not read a dotted key of its configuration; one that is not known here may read all."""
    method = find(name)
    return method is not None and key in read_by_some() and key not in method.reads


def _unknown(config: RunConfig) -> list[Stage]:
    return get(config.method.name).stages(config)


def stages_of(config: RunConfig) -> list[Stage]:
    """The stages of a run, in order. Shares are rounded to whole samples of a batch.

    Raises UserError where a stage would have no steps, or a kind of label no place in a batch, and for stages that do not
    fit together.
    """
    stages: list[Stage] = []
    for stage in get(config.method.name).stages(config):
        if stage.steps < 1:
            raise UserError(
                f"{config.method.name} has no step left for its stage {stage.name!r}; raise train.steps or lower refresh"
            )
        share = round(stage.matte_share * config.train.batch) / config.train.batch
        if (share > 0, share < 1) != (stage.uses_mattes, stage.uses_photos):
            raise UserError(
                f"a batch of {config.train.batch} cannot hold a share of {stage.matte_share:g} mattes; raise train.batch"
            )
        if fault := _fault(stage, [earlier.name for earlier in stages], config):
            raise UserError(f"the stage {stage.name!r} of the method {config.method.name!r} {fault}")
        stages.append(replace(stage, matte_share=share))
    if (total := sum(stage.steps for stage in stages)) != config.train.steps:
        raise UserError(
            f"the stages of the method {config.method.name!r} take {total} steps in all; every method takes train.steps,"
            f" which is {config.train.steps}"
        )
    return stages


def _fault(stage: Stage, earlier: list[str], config: RunConfig) -> str:
    """What is wrong with a stage, as a clause with its remedy; "" for a right one."""
    if stage.name in earlier:
        return "has the name of an earlier one; give it another"
    for name in (stage.start, stage.teacher):
        if name and name not in earlier:
            return f"builds on {name!r}, which is not an earlier stage; name one of {', '.join(earlier) or 'them'}"
    if stage.uses_photos and not stage.photo_label:
        return "has natural pictures in its batches and no label for them; give it a photo_label"
    if stage.label and not stage.label.makes_target:
        return f"labels its natural pictures as {stage.label.name!r}, which has no target; give its PhotoLabel one"
    if stage.asks_its_average and not (stage.ema_decay or config.train.ema):
        return "is taught by its own average and keeps none; give it a teacher, or ema_decay"
    return ""
