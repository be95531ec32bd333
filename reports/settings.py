"""Settings to be put side by side: the file that names them, and which runs of its store each of them means.

A setting is a kind of pictures and masks under which all methods were trained. Its runs are told from others in the same
store by columns of the store's rows, never by a title.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pydantic

from bench.cost import CostModel
from bench.store import document as as_document
from reports.comparison import Budget, Comparison, compare
from reports.document import listed
from reports.load import GROUND, NETWORK, Frames, flatten
from reports.measures import RegionalMeasure
from wsshm import grades
from wsshm.config import Labels, MethodName, Section, parse
from wsshm.documents import load_document
from wsshm.errors import UserError, nearest
from wsshm.methods import described

SIZE = "data.size"
SAME = tuple(
    key for key in (*GROUND, *NETWORK) if key != "dataset"
)  # what the test sets of a setting say by themselves
OF_TRAINING = ("data_fingerprint", "recipe_version", *NETWORK)
Text = Annotated[str, pydantic.Field(min_length=1)]
Version = Annotated[Text, pydantic.BeforeValidator(lambda value: str(value) if type(value) is int else value)]


def _known_grade(name: str) -> str:
    if name not in grades.GRADES:
        raise ValueError(f"masks have no grade {name!r:.40}; {nearest(name, grades.GRADES)}")
    return name


def _no_control(name: str) -> str:
    if described(name).control:
        raise ValueError("a control answers a question and is no baseline; name methods that are none")
    return name


class Runs(Section):
    """What tells a setting's runs from others of its store. A key that is left out is of no matter, or the same for all."""

    architecture: Text | None = None
    """Decoder and heads, as the rows have them: unet, or "{name: fast, downsample: 1}"."""
    backbone: Text | None = None
    """The encoder."""
    weights: Text | None = None
    """Where its first weights came from."""
    size: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Side in px of what was trained on: data.size of the runs' configurations."""
    mattes: Labels | None = None
    """Number of mattes of the budget."""
    masks: Labels | None = None
    """Number of masks of the budget, of all grades."""
    grade: Annotated[Text, pydantic.AfterValidator(_known_grade)] | None = None
    """Grade of all its masks."""
    protocol: Text | None = None
    """Input rule at test time, such as short192."""
    convention: Text | None = None
    """How errors are computed: p3m, dim or rvm."""
    truth: Text | None = None
    """What the mattes of the test set are: exact or estimated."""
    metric_version: Version | None = None
    """Version of the measures."""
    data_fingerprint: Text | None = None
    """Which data the runs were trained on."""
    recipe_version: Version | None = None
    """Version of the recipe of training samples."""


class Masks(Section):
    """How good a setting's masks are: measured, and how."""

    iou: Annotated[float, pydantic.Field(gt=0, le=1)]
    """Their mean IoU with the true person."""
    command: Text
    """The command that measured it."""


class Tests(Section):
    """The test sets by what they show; one may be left out."""

    like: Text | None = None
    """Pictures like those to train on, as the scores name their data set."""
    unlike: Text | None = None
    """Pictures unlike them: other people, clothes, light, cameras."""

    @pydantic.model_validator(mode="after")
    def _some(self) -> Tests:
        if not self.named:
            raise ValueError("name a test set, such as {like: procedural/test, unlike: procedural/test-shifted}")
        return self

    @property
    def named(self) -> dict[str, str]:
        """The data set of each role that has one, in the order of tables."""
        return {role: name for role in type(self).model_fields if (name := getattr(self, role))}


class Setting(Section):
    """One setting: its runs, its masks and its test sets."""

    name: Text
    """What tables and figures call it."""
    store: Text
    """The store of its runs: an address, or a folder relative to this file's."""
    runs: Runs = Runs()
    """Which runs of the store are meant, where it holds others."""
    masks: Masks
    """How good its masks are."""
    tests: Tests
    """What its runs were scored on."""


class Settings(Section):
    """The whole file."""

    baselines: Annotated[
        tuple[Annotated[MethodName, pydantic.AfterValidator(_no_control)], ...], pydantic.Field(min_length=1)
    ] = ("joint", "seg_only", "matte_only")
    """Methods without a blended label; in each setting the best of them on validation is what others are compared with."""
    rival: Annotated[MethodName, pydantic.AfterValidator(_no_control)] | None = None
    """A method that the figure shows by its name wherever it was trained, next to mlb."""
    settings: Annotated[tuple[Setting, ...], pydantic.Field(min_length=1, max_length=26)]
    """The settings, in the order of the table; the figure names each by a letter."""

    @pydantic.model_validator(mode="after")
    def _named_once(self) -> Settings:
        names = [setting.name for setting in self.settings]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two settings are named {twice[0]!r}; give one of them another name")
        return self


def read(path: Path) -> Settings:
    """The file, checked, with its stores' folders as this process reaches them. UserError naming the key that is wrong."""
    found: Settings = parse(load_document(path), Settings, str(path))
    rooted = [
        setting if "://" in setting.store else setting.model_copy(update={"store": str(path.parent / setting.store)})
        for setting in found.settings
    ]
    return found.model_copy(update={"settings": tuple(rooted)})


def comparisons(frames: Frames, setting: Setting, measure: RegionalMeasure) -> dict[str, Comparison]:
    """By role of test set the one comparison of the store that a setting means.

    Only what `measure` needs is compared. Raises UserError if none matches, or several do.
    """
    tested, wanted = setting.tests.named, _given(setting.runs, SAME)
    if setting.runs.size is not None:
        frames = _of_size(frames, setting)
    scores = frames.scores
    for dataset in tested.values():
        if dataset not in (known := sorted(map(str, scores["dataset"].unique()))):
            raise UserError(
                f"no run of the setting {setting.name!r} was scored on {dataset!r}; {nearest(dataset, known)}"
            )
    needed = scores["dataset"].isin(tested.values()) & (scores["region"] == measure.region)
    found = compare(replace(frames, scores=scores[needed].reset_index(drop=True)), CostModel())
    result = {}
    for role, dataset in tested.items():
        there = [each for each in found if each.ground["dataset"] == dataset and not each.heads["external"].all()]
        if not there:
            raise UserError(f"no run of the setting {setting.name!r} has a score of {measure.where} on {dataset}")
        result[role] = _only(there, wanted, setting, f"on {dataset}")
    for key in OF_TRAINING:
        if len(values := sorted({_key(each, key) for each in result.values()})) > 1:
            raise UserError(
                f"the setting {setting.name!r} fits other runs of {setting.store} on one test set than on the other:"
                f" {key} is {listed(values)}; say which by {key} in its runs"
            )
    return result


def budget(comparison: Comparison, setting: Setting) -> Budget:
    """The labels that a setting's methods were given. Raises UserError where its keys fit none, or several."""
    runs = setting.runs
    known = [each for each in comparison.budgets if each.known]
    fit = [
        each
        for each in known
        if runs.mattes in (None, each.mattes)
        and runs.masks in (None, each.masks)
        and (runs.grade is None or set(each.by_grade) == {runs.grade})
    ]
    if len(fit) == 1:
        return fit[0]
    there = listed(map(str, fit or known)) or "none that are known"
    if fit:
        raise UserError(
            f"the setting {setting.name!r} fits several numbers of labels in {setting.store} ({there}); say which by"
            " mattes, masks or grade in its runs"
        )
    asked = ", ".join(f"{key} {value}" for key, value in _given(runs, ("mattes", "masks", "grade")).items())
    raise UserError(
        f"the setting {setting.name!r} fits no scored run of {setting.store}: labels there are {there}, not {asked}"
    )


def _given(runs: Runs, keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key in keys if (value := getattr(runs, key)) is not None}


def _of_size(frames: Frames, setting: Setting) -> Frames:
    """The store's runs of the setting's size of pictures."""
    sizes = [flatten(as_document(text)).get(SIZE) for text in frames.runs["config"]]
    kept = frames.runs[[size == setting.runs.size for size in sizes]]
    scores = frames.scores[frames.scores["run_id"].isin(kept["run_id"])].reset_index(drop=True)
    if scores.empty:
        there = listed(map(json.dumps, sorted({size for size in sizes if size is not None}))) or "not known"
        raise UserError(
            f"the setting {setting.name!r} fits no scored run of {setting.store}: {SIZE} there is {there}, not"
            f" {setting.runs.size}"
        )
    return replace(frames, runs=kept.reset_index(drop=True), scores=scores)


def _only(there: list[Comparison], wanted: dict[str, str], setting: Setting, where: str) -> Comparison:
    """The comparison with these values of ground and network."""
    for key, value in wanted.items():
        values = {_key(each, key) for each in there}
        there = [each for each in there if _key(each, key) == value]
        if not there:
            raise UserError(
                f"the setting {setting.name!r} fits no scored run of {setting.store} {where}: {key} there is"
                f" {listed(sorted(values))}, not {value}"
            )
    if len(there) > 1:
        key = next(key for key in SAME if len({_key(each, key) for each in there}) > 1)
        raise UserError(
            f"the setting {setting.name!r} fits several kinds of runs of {setting.store} {where}: {key} is"
            f" {listed(sorted({_key(each, key) for each in there}))}; say which by {key} in its runs"
        )
    return there[0]


def _key(comparison: Comparison, key: str) -> str:
    return (comparison.ground | comparison.network)[key]
