"""The configuration of one run: typed, closed, and checked before anything is trained.

`RunConfig` is the document that `wsshm train CONFIG` takes and the `base` of a plan. An unknown key, an impossible
value or a wrong type is one sentence that names it.
"""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import Field, NonNegativeFloat, PositiveFloat

from wsshm import grades, methods, plugins
from wsshm.documents import yaml_value
from wsshm.errors import UserError, nearest
from wsshm.models import ARCHITECTURES, NAME, ArchitectureType
from wsshm.registry import UNKNOWN_NAME, Registered, changed

MethodName = Annotated[str, Registered(methods.METHODS, methods.names)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
# Limits far beyond any use, so that a slip of the hand is said, and not computed.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Steps = Annotated[int, Field(ge=1, le=10_000_000)]
Pictures = Annotated[int, Field(ge=1, le=10_000_000)]
Labels = Annotated[int, Field(ge=0, le=1_000_000_000)]
Processes = Annotated[int, Field(ge=1, le=4096)]
TESTS = ("procedural/test", "procedural/test-shifted")
"""The test sets of a configuration that names none."""


def of_known_grades(value: Any) -> Any:
    """A mapping by grade whose grades there are; any other value as it is, for the key's type to judge."""
    for name in value if isinstance(value, Mapping) else ():
        if name not in grades.GRADES:
            raise ValueError(f"masks have no grade {str(name)!r:.40}; {nearest(str(name), grades.GRADES)}")
    return value


def _spelt_once(value: Any) -> Any:
    return grades.shortest(value) if isinstance(value, dict) else value


ONE, BY_GRADE = "<one>", "<by grade>"
WhichForm = pydantic.Discriminator(lambda value: BY_GRADE if isinstance(value, Mapping) else ONE)
# A number of the default grade, or numbers by grade: read as the number alone where no other grade is named.
LabelsByGrade = Annotated[
    Annotated[Labels, pydantic.Tag(ONE)] | Annotated[dict[str, Labels], Field(min_length=1), pydantic.Tag(BY_GRADE)],
    WhichForm,
    pydantic.BeforeValidator(of_known_grades),
    pydantic.AfterValidator(_spelt_once),
]
PicturesByGrade = Annotated[
    Annotated[Pictures, pydantic.Tag(ONE)]
    | Annotated[dict[str, Pictures], Field(min_length=1), pydantic.Tag(BY_GRADE)],
    WhichForm,
    pydantic.BeforeValidator(of_known_grades),
    pydantic.AfterValidator(_spelt_once),
]


# Python's types, as pydantic's sentences call them, and what YAML calls them.
PLAIN_TYPES = {"a valid tuple": "a list", "a valid dictionary": "a mapping of keys to values", "a valid string": "text"}


class Section(pydantic.BaseModel):
    """A closed part of the configuration: unknown keys are errors."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ProceduralConfig(Section):
    """How the embedded data set is drawn; only read where a source is named `procedural/...`."""

    cutouts: Pictures = 100
    """Cut-out people, from which training makes composites."""
    backgrounds: Pictures = 200
    """Pictures without people, behind the cut-outs."""
    natural: PicturesByGrade = 1000
    """Natural pictures to train on, each with a mask and its true matte; {polygon: 1000, fine: 100} draws further
    pictures with masks of further grades, one number those of the default grade, polygon."""
    val: Pictures = 60
    """Natural pictures to validate on."""
    test: Pictures = 100
    """Natural pictures to test on, in each of both test sets."""
    seed: Seed = 0
    """The same seed draws the same pictures."""
    mask_coarseness: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    """Masks by the annotator of earlier releases in place of those of a grade: 0 is exact, 1 was the default there, more is
    coarser; null draws them by grade."""

    @pydantic.model_validator(mode="after")
    def _one_annotator(self) -> ProceduralConfig:
        if self.mask_coarseness is not None and isinstance(self.natural, dict):
            raise ValueError(
                "mask_coarseness draws all masks alike; give natural as one number, or leave the coarseness out"
            )
        return self

    @property
    def masks(self) -> str | float:
        """How masks are drawn: the default grade's name, or a coarseness."""
        return grades.DEFAULT if self.mask_coarseness is None else self.mask_coarseness


class DataConfig(Section):
    """Where samples come from: `procedural/PART`, or a manifest's path (relative ones under `root`) or address (s3://...).

    `backgrounds` are for cut-outs; without a name they are the rows of kind `background` in the `mattes` manifest.
    """

    root: str | None = None
    """Folder, or address such as s3://bucket/sets, that relative paths of manifests start from; null is the working
    directory."""
    mattes: str = "procedural/synthetic"
    """Where mattes come from, cut-outs or photos: `procedural/PART`, or a manifest's path or address."""
    backgrounds: str | None = None
    """Manifest of backgrounds for cut-outs; null takes the backgrounds that `mattes` lists."""
    masks: str = "procedural/natural"
    """Photos with masks, of the split train."""
    val: str = "procedural/val"
    """Photos with mattes to validate on, of the split val."""
    test: tuple[str, ...] = TESTS
    """Sets to test on, of the split test; a sweep scores them once, after training. Of the embedded set's, `test` shows
    people like those to train on, `test-shifted` others."""
    size: Annotated[int, Field(ge=64, le=4096)] = 128
    """Side in px of what the network is trained on; a multiple of 64."""
    allow_faults: bool = False
    """Train although `wsshm data check` finds errors in the manifests, such as a picture that is in two splits; samples
    that cannot be read stop a run all the same."""
    loading: Literal["local", "ray"] = "local"
    """Where samples are made: in the worker or train.loader_workers processes beside it (local), or by Ray Data on so
    many CPUs for each worker, on whichever nodes have them free (ray)."""
    procedural: ProceduralConfig = ProceduralConfig()

    @property
    def named(self) -> tuple[str, ...]:
        """The names of all sources."""
        return (self.mattes, *([self.backgrounds] if self.backgrounds else []), self.masks, self.val, *self.test)

    @pydantic.field_validator("size")
    @classmethod
    def _multiple_of_64(cls, size: int) -> int:
        if size % 64:
            raise ValueError("must be a multiple of 64, so that every backbone's maps fit at half resolution too")
        return size


class ModelConfig(Section):
    """Decoder and heads (`architecture`) over a timm encoder (`backbone`).

    `weights`: `auto` (a hub that answers, else an installed weights package, else none), `none`, `hub`, `package`,
    or the path of a safetensors file in timm's key order.
    """

    architecture: Annotated[str | dict[str, Any], ArchitectureType(ARCHITECTURES)] = "unet"
    """Decoder and heads over the backbone: a name, or with options of its own {name: unet, width: 1.5}."""
    backbone: str = "tf_efficientnet_lite0"
    """The encoder: any timm model's name (wsshm models list) that gives maps, plain transformers too."""
    weights: str = "auto"
    """Where the backbone's weights come from: auto (a hub that answers, else an installed package, else none), hub,
    package, none, or a safetensors file's path."""
    backbone_kwargs: dict[str, Any] = {}
    """Further arguments of timm's `create_model`."""


class BlendConfig(Section):
    """How a teacher's prediction and a mask become a label; see `wsshm.blending`.

    `teacher`: a network trained before on composites (`stage`, the paper's), or the student's own moving `average`,
    which learns beside it from composites and blended photos alike and takes no steps of its own.
    `when`: the teacher predicts in the student's training loop, what the student is shown, or `ahead` of it, whole
    pictures once (`wsshm.blended_labels`).
    """

    variant: Literal["hard", "soft", "gated"] = "gated"
    """Where the teacher's matte replaces the mask: where it sees a boundary (hard), by how much (soft), or as hard but
    only near the mask's edge (gated)."""
    threshold: Fraction = 0.001
    """Predicted boundary above which the teacher's matte is used (hard, gated); next to 0, nearly everywhere in the band.
    Without a band (hard) 0.1 to 0.5 is more like it."""
    band: Annotated[float, Field(gt=0.0, le=1.0)] = 0.025
    """Radius of the band around the mask's edge, as a share of the picture's shorter side: about as far as masks err."""
    feather: Fraction = 0.0
    """How far the seam between matte and mask is softened, as a share of the shorter side."""
    veto: Literal["none", "mask", "ignore"] = "mask"
    """Where the teacher grossly disagrees with the mask: trust it all the same (none), keep the mask, or ignore the
    pixel in the loss."""
    teacher: Literal["stage", "average"] = "stage"
    """Which network predicts: one trained beforehand on composites (stage), or the student's own moving average."""
    when: Literal["loop", "ahead"] = "loop"
    """When the teacher predicts: in the student's training loop, or ahead of it, whole pictures once."""
    refresh: Steps = 1
    """Rounds of the student, each teaching the next."""

    @pydantic.model_validator(mode="after")
    def _can_be_asked(self) -> BlendConfig:
        if self.teacher == "average" and self.when == "ahead":
            raise ValueError("a teacher that is the student's moving average cannot label ahead of it; take when: loop")
        if self.teacher == "average" and self.refresh > 1:
            raise ValueError("a teacher that is the student's moving average is new at every step; take refresh: 1")
        return self

    def recipe(self) -> dict[str, Any]:
        """JSON for the stage's hash; `teacher` is omitted at its default, so that old hashes stay valid."""
        return self.model_dump(exclude={"teacher"} if self.teacher == "stage" else None)


class MethodConfig(Section):
    """The training method and what only some methods read.

    `matte_share` is the part of a batch that are composites with their mattes, the rest being natural pictures; None is
    the method's own: none of a student's after its teacher, half where both kinds are learnt at once (`joint`,
    `mean_teacher`, a `blend.teacher` that is the student's average).
    `confidence` and `boundary` are `pseudo_label`'s: how sure its teacher must be of a pixel, or how much of a boundary it
    must see there for the label to keep its fractional value. `consistency_weight` is `mean_teacher`'s
    weight of natural pictures, reached after `consistency_ramp` of its steps.
    """

    name: MethodName = "mlb"
    """The training method."""
    blend: BlendConfig = BlendConfig()
    matte_share: Fraction | None = None
    """Share of a batch that is composites with their mattes; null is the method's default."""
    blended_weight: PositiveFloat = 1.0
    """Weight of natural pictures with blended labels in the loss."""
    student_start: Literal["teacher", "backbone"] = "teacher"
    """What a student starts from: its teacher's weights, or the backbone's pretrained ones."""
    confidence: Annotated[float, Field(ge=0.5, le=1.0)] = 0.9
    """pseudo_label: how sure its teacher must be of a pixel."""
    boundary: Fraction = 0.5
    """pseudo_label: predicted boundary above which a label keeps its fractional value."""
    consistency_weight: PositiveFloat = 0.1
    """mean_teacher: weight of natural pictures."""
    consistency_ramp: Fraction = 0.3
    """mean_teacher: share of the steps over which that weight is reached."""
    options: dict[str, Any] = {}
    """Options of the method's own, if it has any."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _says_whose_options(cls, value: Any) -> Any:
        name = cls.model_fields["name"].default
        if isinstance(value, dict) and value.get("options") and "name" not in value and not methods.get(name).options:
            raise ValueError(f"options are of a method's own, and {name!r}, the default, has none; set method.name")
        return value

    @pydantic.field_validator("options")
    @classmethod
    def _known_to_the_method(cls, options: dict[str, Any], info: pydantic.ValidationInfo) -> dict[str, Any]:
        name = info.data.get("name")  # None: that is the fault to tell
        return changed(options, methods.get(name).options, f"the method {name!r}") if name and options else {}


class LossConfig(Section):
    """Weights of the loss terms, the same for every method; see `wsshm.losses`."""

    l1: NonNegativeFloat = 1.0
    """Weight of the absolute error of the matte."""
    boundary_gain: NonNegativeFloat = 4.0
    """Extra weight of the absolute error on the boundary (1 + this)."""
    cross_entropy: NonNegativeFloat = 1.0
    """Weight of the matte's cross-entropy."""
    laplacian: NonNegativeFloat = 2.0
    """Weight of the error of the matte's Laplacian pyramid."""
    laplacian_levels: Annotated[int, Field(ge=1, le=16)] = 3
    """Levels of that pyramid."""
    boundary: NonNegativeFloat = 1.0
    """Weight of the boundary head's cross-entropy."""
    boundary_positive: PositiveFloat = 3.0
    """Weight of boundary pixels in it, relative to all others."""


class TrainConfig(Section):
    """Optimisation. `batch` is the global batch; `steps` counts every optimiser step of a run, a teacher's too.

    `workers: [1, 4]` is elastic: as many of one to four workers as the cluster has, fewer after a failure, more when
    nodes come. `workers: 0` trains in the calling process; in a sweep, where that is Ray Tune's, on one worker.
    """

    steps: Steps = 400
    """Optimiser steps of a run, its teacher's included."""
    teacher_steps: Steps = 200
    """How many of them a teacher takes, for methods that train one first."""
    batch: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Samples of a step, over all workers."""
    lr: PositiveFloat = 2e-3
    """Peak learning rate (AdamW)."""
    weight_decay: NonNegativeFloat = 0.01
    """Weight decay (AdamW)."""
    warmup: Fraction = 0.1
    """Share of a stage's steps over which the learning rate rises."""
    clip_grad: PositiveFloat = 5.0
    """Norm that gradients are clipped to."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Mixed precision of the forward pass."""
    compile: bool = False
    """Train through torch.compile: the first step of each size of input takes minutes, all others less time. Needs a C++
    compiler, on a GPU Triton and a C compiler. Numbers differ by rounding only."""
    accumulate: Annotated[int, Field(ge=1, le=65_536)] = 1
    """Micro-batches that a worker's part of a batch is cut into, to save memory."""
    ema: Fraction = 0.0
    """Decay of the weights' moving average, which then is the model; 0 keeps none, or leaves it to the method."""
    half_resolution: Fraction = 0.0
    """Share of a stage's steps, the first, at half the size."""
    batchnorm: Literal["sync", "frozen"] = "sync"
    """Statistics over all workers (sync), or those of the pretrained weights (frozen)."""
    epoch_steps: Steps = 50
    """Steps between validations, each with a checkpoint."""
    workers: Annotated[int, Field(ge=0, le=4096)] | tuple[Processes, Processes] = 1
    """Processes that train a run together; [fewest, most] is elastic, 0 trains in the calling process (in a sweep, on
    one worker)."""
    cpus_per_worker: Processes = 1
    """CPUs of a worker."""
    gpus_per_worker: Annotated[float, Field(ge=0.0, le=1024.0)] = 0.0
    """GPUs of a worker; below 1, runs share one."""
    accelerator: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")] | None = None
    """The GPU that a worker needs, as Ray names it (A100, H100, L4, A10G, ...); null takes any."""
    loader_workers: Annotated[int, Field(ge=0, le=4096)] = 0
    """Processes that load data for a worker, each on a CPU: of its node, or with data.loading: ray of any; 0 loads in the
    worker itself."""
    max_failures: Annotated[int, Field(ge=0, le=1000)] = 1
    """How often a run may lose a worker and go on from its last checkpoint, without having come further meanwhile."""
    seed: Seed = 0
    """Draws the subset of the labels, the initialisation and the order of samples."""
    loss: LossConfig = LossConfig()

    @property
    def worker_counts(self) -> range:
        """The numbers of workers that may share a run's batch; training in the calling process counts as one."""
        low, high = self.workers if isinstance(self.workers, tuple) else (self.workers, self.workers)
        return range(max(1, low), max(1, high) + 1)

    @property
    def accelerator_resource(self) -> dict[str, float]:
        """How Ray is asked for a node with that GPU; empty for any."""
        return {f"{ACCELERATOR}{self.accelerator}": 0.001} if self.accelerator else {}

    @pydantic.model_validator(mode="after")
    def _scalable(self) -> TrainConfig:
        if self.accelerator and not self.gpus_per_worker:
            raise ValueError(f"accelerator {self.accelerator} is a GPU's type; set gpus_per_worker as well")
        counts = self.worker_counts
        if not counts:
            raise ValueError(f"workers {list(self.workers)} must be [fewest, most]")  # type: ignore[arg-type]
        if len(counts) > 1 and not self.max_failures:
            raise ValueError("elastic workers need max_failures of at least 1: a change of their number is a restart")
        if counts[-1] > 1 and 0 < self.gpus_per_worker < 1:
            raise ValueError(
                f"gpus_per_worker {self.gpus_per_worker:g} is a share of a GPU, and two workers of one run cannot share one"
                " (NCCL); take one worker, or whole GPUs"
            )
        if self.batch < counts[-1] * self.accumulate:
            raise ValueError(
                f"batch ({self.batch}) must be at least workers x accumulate ({counts[-1]} x {self.accumulate}), so that every"
                " worker gets a sample"
            )
        for workers in counts if self.compile and self.batchnorm == "sync" else ():
            if workers > 1 and self.batch % (workers * self.accumulate):
                raise ValueError(
                    "with compile, workers sum their batch norms' statistics in an order that may depend on how many samples"
                    f" each has; make batch ({self.batch}) a multiple of workers x accumulate ({workers} x"
                    f" {self.accumulate}), or set batchnorm: frozen"
                )
        return self


# Keys that change where or how fast a run is trained, but not its numbers: left out of every hash.
EXECUTION_KEYS = (
    "workers",
    "cpus_per_worker",
    "gpus_per_worker",
    "accelerator",
    "loader_workers",
    "max_failures",
    "compile",
)
DATA_EXECUTION_KEYS = ("allow_faults", "loading")  # the same of `data`
ACCELERATOR = "accelerator_type:"  # with a GPU's type, the resource that Ray gives a node


class Budget(Section):
    """How many labels a run may use. `None` means all there are; smaller budgets are contained in larger ones."""

    mattes: Labels | None = None
    """Mattes (cut-outs, or photos with mattes) that a run may use; null is all there are."""
    masks: LabelsByGrade | None = None
    """Masks of photos that a run may use: a number of the default grade, polygon, or {polygon: 1000, fine: 100}; null is
    all there are, of whatever grade."""


class RunConfig(Section):
    """One run: data, model, method, optimisation and label budget."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    # Made when it is asked for: the methods' files, which it looks into, import this module.
    method: MethodConfig = Field(default_factory=MethodConfig)
    train: TrainConfig = TrainConfig()
    budget: Budget = Budget()

    @property
    def loader_processes(self) -> int:
        """Processes beside each worker that load data for it; none where Ray Data does."""
        return self.train.loader_workers if self.data.loading == "local" else 0

    @property
    def stream_cpus(self) -> int:
        """CPUs of the cluster, beside the workers' own, on which Ray Data makes the samples of each worker."""
        return self.train.loader_workers if self.data.loading == "ray" else 0

    @property
    def worker_resources(self) -> dict[str, float]:
        """What a worker asks of Ray: its own CPUs with those of the loaders beside it, and its GPUs."""
        asked = {"CPU": float(self.train.cpus_per_worker + self.loader_processes), "GPU": self.train.gpus_per_worker}
        return {kind: amount for kind, amount in asked.items() if amount} | self.train.accelerator_resource

    @property
    def learns_at_once(self) -> bool:
        """Whether it is MLB, or a control of it, without a teacher's stage."""
        return self.method.blend.teacher == "average" and methods.OWN_AVERAGE in methods.get(self.method.name).reads

    @pydantic.model_validator(mode="after")
    def _streamable(self) -> RunConfig:
        train = self.train
        if self.data.loading == "ray":
            if train.workers == 0:
                raise ValueError(
                    "data.loading: ray feeds workers of Ray Train, and with train.workers: 0 there are none; set it to at"
                    " least 1, or data.loading: local"
                )
            if not train.loader_workers:
                raise ValueError(
                    "with data.loading: ray samples are made on train.loader_workers CPUs for each worker; set it to at"
                    " least 1"
                )
            if len(train.worker_counts) > 1 and not train.gpus_per_worker:
                raise ValueError(
                    "elastic workers without GPUs would take the CPUs on which Ray Data makes their samples; set"
                    " train.workers to one number, or data.loading: local"
                )
        return self

    @pydantic.model_validator(mode="after")
    def _possible(self) -> RunConfig:
        if self.learns_at_once:
            if self.method.matte_share == 0:
                raise ValueError(
                    "with blend.teacher: average the teacher learns from the composites in the student's batches; raise"
                    " method.matte_share above 0"
                )
        elif methods.get(self.method.name).has_first_stage and self.train.teacher_steps >= self.train.steps:
            raise ValueError(
                f"train.teacher_steps ({self.train.teacher_steps}) must be smaller than train.steps ({self.train.steps}),"
                f" of which {self.method.name}'s first stage is a part"
            )
        return self


def parse(document: dict[str, Any], kind: type[Section] = RunConfig, where: str = "the configuration") -> Any:
    """Validate a document as `kind`; every fault is one sentence naming the key and the nearest valid choice."""
    try:
        return kind.model_validate(document)
    except pydantic.ValidationError as error:
        raise UserError(_sentence(error, kind, where)) from None


def override(document: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """A copy of `document` with `a.b=v` assignments applied, each v parsed as YAML."""
    result = copy.deepcopy(document)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--set takes KEY=VALUE, such as base.train.steps=800, not {assignment!r}")
        set_dotted(result, key, yaml_value(text, f"--set {assignment!r}: {text!r}"))
    return result


def set_dotted(document: dict[str, Any], key: str, value: Any) -> None:
    """Set `document["a"]["b"] = value` for the key `a.b`, making the mappings in between."""
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        child = document.setdefault(parent, {})
        if child is None:
            child = document[parent] = {}
        if isinstance(child, str) and parent == "architecture":  # a name is short for {name: NAME}
            child = document[parent] = {NAME: child}
        if not isinstance(child, dict):
            raise UserError(f"{key!r} cannot be set: {'.'.join(parents[: depth + 1])!r} is a value, not a section")
        document = child
    document[last] = value


def _sentence(error: pydantic.ValidationError, kind: type[Section], where: str) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"] if not str(part).startswith("<")]  # tags of a union's members
    key = ".".join(location)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        fields = _fields_at(kind, location[:-1])
        return f"{where} has an unknown key {key!r}; {nearest(location[-1], fields)}{more}"
    value = first.get("input")
    if first["type"] == "literal_error":
        choices = [choice.strip(" '") for choice in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where} has {key} = {value!r}; {nearest(str(value), choices)}{more}"
    if first["type"] == UNKNOWN_NAME:
        added = f"({plugins.VARIABLE} adds more)"
        return f"{where} has {key} = {value!r}; {nearest(first['ctx']['name'], first['ctx']['names'])} {added}{more}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    for name, plain in PLAIN_TYPES.items():
        message = message.replace(name, plain)
    if not key:
        return f"{where} is impossible: {message}{more}"
    shown = "" if isinstance(value, dict | list) else f" = {reprlib.repr(value)}"
    return f"{where} has an impossible {key}{shown}: {message}{more}"


def _fields_at(kind: type[Section], path: list[str]) -> list[str]:
    section: Any = kind
    for name in path:
        if name.isdecimal():  # a place in a list, whose sections the field's type named
            continue
        field = section.model_fields.get(name) if hasattr(section, "model_fields") else None
        annotation = field.annotation if field else None
        of_list = [part for part in get_args(annotation) if isinstance(part, type)]
        section = annotation if isinstance(annotation, type) and not of_list else next(iter(of_list), None)
        if section is None:
            return []
    return list(getattr(section, "model_fields", ()))
