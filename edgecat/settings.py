"""What a run is asked to do: `run.toml`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.deployment import RunnerOptions
from edge.runner.legacy import RUNTIME as LEGACY
from export.recipes import ALL, RECIPES, Recipe, find_recipe, select_recipes
from foundation.answers import AnswerPolicy
from foundation.errors import DataError, UsageError
from foundation.files import write_text
from foundation.settings_files import first_fault, read_toml

# Which artefact thieves go for where nobody says: what apps ship most.
USUAL_TARGETS = ("tflite_int8", "executorch_int8", "tflite_fp32", "executorch_fp32")
# A first look, and the whole curve of `edgecat attack`.
DEFAULT_BUDGETS = (250, 2000)
CURVE = (250, 500, 1000, 2000, 4000, 8000, 16000)
# What `quick` stands for where nothing else is said.
QUICK: dict[str, object] = {"budgets": (250, 1000), "seeds": 1}


class RunSettings(BaseModel):
    """Settings of a run; every field is an option of `edgecat run`.

    Attributes:
        data: `phantom`, a MedMNIST `.npz`, or a folder; see `victim.loaders.load`.
        device: device spec; see `edge.devices.spec.parse_spec`.
        runtimes: empty for all; `tflite-legacy` takes the place of `tflite` and changes what answers, not what is
            exported.
        precisions: empty for fp32 and int8.
        recipes: names of export recipes, or `all`, in place of precisions; empty: the plain ones.
        targets: names of the artefacts that thieves go for, each with a ledger of its own, or `all`; empty: one, of the
            precision that apps ship most.
        pools: empty for what the data set offers; see `attack.pools.find_pool`.
        resize: make a pool's images of another size or number of channels fit.
        strategies: each is tried on each pool; empty takes `amplify` for `pd:N` pools and `random` for the others; see
            `attack.strategies.find_strategy`.
        baseline: try random querying too, wherever a strategy is named.
        gains: measure what the first seed's thieves gain beyond labels: adversarial examples, saliency, calibration.
        budgets: numbers of queries, ascending.
        answers: answer policy.
        seeds: how many thieves, each with a seed of its own.
        seed: of everything else.
        thief_seed: of the first thief; None takes `seed`.
        architecture: the victim's.
        thief: the copycat's architecture; `same` for the victim's.
        learner: how the copycat learns; see `attack.copycat.LEARNERS`.
        effort: how long copycats learn: 1 is the thief at full strength, as in `edgecat attack`; see
            `attack.copycat.settings_for`.
        epochs: of the victim's training; None fits it to the data.
        threads: of the runtime on the device.
        runner: what answers there; see `edge.deployment.RunnerOptions`.
        cpus: processor cores of the device that it may use; None for all.
        size: side of the images, for folders and DICOM.
        skip_bad: leave bad files of a folder out instead of stopping.
        labels: CSV of labels for a folder of DICOM files.
        quick: smaller, for a first look; the records say so. `make_settings` then takes `QUICK` for what is not given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = "phantom"
    device: str = "embedded"
    runtimes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    resize: bool = False
    strategies: tuple[str, ...] = ()
    baseline: bool = True
    gains: bool = True
    budgets: tuple[int, ...] = DEFAULT_BUDGETS
    answers: str = "label"
    seeds: int = Field(default=3, ge=1)
    seed: int = Field(default=0, ge=0)
    thief_seed: int | None = Field(default=None, ge=0)
    architecture: str = "residual"
    thief: str = "stacked"
    learner: str = "supervised"
    effort: float = Field(default=0.4, gt=0, le=100)
    epochs: int | None = Field(default=None, ge=1)
    threads: int = Field(default=1, ge=1)
    runner: str = "auto"
    cpus: str | None = None
    size: int | None = Field(default=None, ge=8)
    skip_bad: bool = False
    labels: str | None = None
    quick: bool = False

    @property
    def first_thief(self) -> int:
        """Seed of the first thief."""
        return self.seed if self.thief_seed is None else self.thief_seed

    @property
    def formats(self) -> tuple[str, ...]:
        """The runtimes that models are exported for; empty for all."""
        return tuple("tflite" if runtime == LEGACY else runtime for runtime in self.runtimes)

    @property
    def chosen_recipes(self) -> tuple[Recipe, ...]:
        """What is exported.

        Raises:
            UsageError: a recipe, runtime or precision that there is not, or recipes beside precisions.
        """
        if not self.recipes:
            return select_recipes(self.formats, self.precisions)
        if self.precisions:
            raise UsageError("a recipe has its own precision", hint="name recipes or precisions, not both")
        names = RECIPES if ALL in self.recipes else dict.fromkeys(self.recipes)
        found = tuple(find_recipe(name) for name in names)
        kept = tuple(recipe for recipe in found if not self.formats or recipe.runtime in self.formats)
        if ALL not in self.recipes and kept != found:
            raise UsageError(
                f"recipes {', '.join(names)} are not all of the runtime that is asked for", hint="leave --runtime out"
            )
        return kept

    def target_names(self, exported: Sequence[str]) -> tuple[str, ...]:
        """Which of the exported artefacts thieves go for, in the order in which they were exported.

        Raises:
            UsageError: one that is not exported.
        """
        if not self.targets:
            return (next((name for name in USUAL_TARGETS if name in exported), exported[0]),)
        for name in self.targets:
            if name not in (ALL, *exported):
                raise UsageError(f"no artefact {name!r} to attack", hint=f"exported: {', '.join(exported)}, or {ALL}")
        return tuple(name for name in exported if ALL in self.targets or name in self.targets)

    def serving(self, runtime: str) -> RunnerOptions:
        """What shall answer on the device, and how.

        Args:
            runtime: the artefact's own, as its manifest names it.
        """
        other = None
        if self.runtimes and runtime not in self.runtimes:
            # What does not fit the artefact is refused when it is deployed.
            other = LEGACY if LEGACY in self.runtimes else self.runtimes[0]
        return RunnerOptions(self.runner, other, self.threads, self.cpus)


def parse_budgets(words: list[str]) -> tuple[int, ...]:
    """Numbers of queries as people write them: `2000`, `2k`, `1M`, several joined by commas, or `curve`.

    Returns:
        them all, ascending.

    Raises:
        UsageError: a word that is none.
    """
    found: set[int] = set()
    for word in ",".join(words).split(","):
        matched = re.fullmatch(r"([0-9]{1,12})([kM]?)", word.strip())
        if matched is not None and int(matched[1]) > 0:
            found.add(int(matched[1]) * {"": 1, "k": 1000, "M": 1_000_000}[matched[2]])
        elif word.strip() == "curve":
            found.update(CURVE)
        else:
            raise UsageError(
                f"{word!r} is no number of queries", hint="for example --budgets 250,1k,16k,1M, or --budgets curve"
            )
    return tuple(sorted(found))


def make_settings(**values: object) -> RunSettings:
    """Settings from keyword arguments, with a clear error for a wrong one.

    Raises:
        UsageError: an unknown or impossible setting.
    """
    values = (QUICK if values.get("quick") else {}) | values
    try:
        # A path is kept as it is written, so that settings fit into TOML and JSON.
        settings = RunSettings.model_validate({k: str(v) if isinstance(v, Path) else v for k, v in values.items()})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    _check(settings)
    return settings


def _check(settings: RunSettings) -> None:
    """Tell what can be told without data, device or torch: a wrong word must not cost a minute of training."""
    settings.target_names([recipe.name for recipe in settings.chosen_recipes])
    if {LEGACY, "tflite"} <= set(settings.runtimes):
        raise UsageError(f"both tflite and {LEGACY}: one run asks a file in one runtime", hint="make two runs")
    RunnerOptions(cpus=settings.cpus)
    AnswerPolicy.parse(settings.answers)
    budgets = settings.budgets
    if not budgets or budgets[0] < 1 or list(budgets) != sorted(set(budgets)):
        raise UsageError(
            f"budgets {', '.join(map(str, budgets)) or 'of none'}: they must be 1 or more, each larger than the last",
            hint="for example --budget 1000, or --budget 250 --budget 1000",
        )


def save_settings(settings: RunSettings, path: Path) -> None:
    """Write `run.toml`; what is None is left out."""
    write_text(path, tomli_w.dumps(settings.model_dump(exclude_none=True)))


def load_settings(path: Path) -> RunSettings:
    """Read `run.toml`.

    Raises:
        DataError: it is not there, not TOML, or not ours.
    """
    if not path.exists():
        raise DataError(f"{path.parent} is no run directory: it has no {path.name}")
    document = read_toml(path, DataError)
    if "data" not in document:
        # An emptied file would be valid, and mean a run that nobody asked for.
        raise DataError(f"cannot read {path}: it names no data")
    try:
        return RunSettings.model_validate(document)
    except ValidationError as error:
        raise DataError(f"cannot read {path}: {first_fault(error)}") from error
