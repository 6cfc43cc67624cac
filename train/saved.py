"""A finished fit on disk: model.pt holds what rebuilds its modules and classifiers, and nothing that runs code."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from sideband.benchmarks import catalogue, entries
from sideband.benchmarks.events.task import Task
from sideband.infer import events
from sideband.infer.called import called
from sideband.infer.errors import BadInput
from sideband.infer.metadata import is_range
from sideband.train import methods
from sideband.train.classifiers.mlp import StackedMLP
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.classifiers.step import Classifier
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.files import Damaged, read_tensors, write_tensors
from sideband.train.settings import settings_from

# What a file holds, by the type of each part.
CONTENT: dict[str, tuple[type, ...]] = {
    "method": (str,),
    "settings": (dict,),
    "needs": (dict,),
    "columns": (dict,),
    "modules": (dict,),
    "classifier": (dict, NoneType),
    "folds": (list,),
    "classifier_settings": (dict,),
    "task": (dict,),
    "fitted_range": (dict,),
}
MOST_COLUMNS = 10_000
# What a task says of itself that follows from its window.
OF_THE_WINDOW = {"window", "validation", "masked", "oversampling", "data_in_range", "data_in_window"}
OF_THE_WINDOW |= {"signal_in_window", "background_in_window", "significance"}


@dataclass
class Saved:
    """A fit, opened.

    Args:
        method: its name; settings: its settings.
        needs: what it stands on: settings of shared fits, and an `Other` for each fit of another method.
        columns: the numbers an event of each feature, by name.
        modules: by role.
        classifier_settings: of the classifiers below.
        task: what the task says of itself.
        classifier: the score of a method without one of its own.
        folds: the classifiers of the cross-fit.
        fitted_range: by role, the range of each feature the fit has seen, beyond which it is clamped.
        folder: where it lies, with its rows and its training template.
    """

    method: str
    settings: Any
    needs: dict[str, Any]
    columns: dict[str, int]
    modules: dict[str, nn.Module]
    classifier_settings: ClassifierSettings
    task: dict[str, Any]
    classifier: Classifier | None = None
    folds: list[Classifier] = field(default_factory=list)
    fitted_range: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def as_need(self) -> Any:
        """What a fit that stands on this one keeps of it."""
        if catalogue.get(self.method).shared:
            return self.settings
        return methods.Other(self.method, self.settings, self.needs)

    @property
    def width(self) -> int:
        """Numbers an event of all features together."""
        return sum(self.columns.values())

    def save(self, path: str | Path) -> None:
        """Write to `path`, atomically."""
        content = {
            "method": self.method,
            "settings": asdict(self.settings),
            "needs": {name: asdict(settings) for name, settings in self.needs.items()},
            "columns": self.columns,
            "modules": {role: module.state_dict() for role, module in self.modules.items()},
            "classifier": _packed(self.classifier),
            "folds": [_packed(fold) for fold in self.folds],
            "classifier_settings": asdict(self.classifier_settings),
            "task": self.task,
            "fitted_range": self.fitted_range,
        }
        with events.atomic(path) as temporary:
            write_tensors(content, temporary)


def load(path: str | Path, device: torch.device | None = None) -> Saved:
    """Open what `Saved.save` wrote, in evaluation mode.

    Raises:
        BadInput: no such file, or not a whole fit of Sideband: every part, shape and number of it is looked at.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: no such file; `{called('train', 'fit')}` writes it")
    try:
        content = read_tensors(path)
        _check_parts(content)
        settings, needs, classifier_settings = _settings(content, path)
        columns, width = content["columns"], sum(content["columns"].values())
        build = methods.load(content["method"]).build
        modules = _filled(lambda: build(settings, width, needs), content["modules"])
        packed = [each for each in (content["classifier"], *content["folds"]) if each is not None]
        seen = getattr(modules.get("encoder"), "latent_width", width)
        classifiers = [_unpacked(each, seen, classifier_settings) for each in packed]
    except Damaged as error:
        raise BadInput(f"{path}: not a fit of Sideband, or a damaged one ({error}); train it again") from error
    for module in modules.values():
        module.to(device or "cpu").eval().requires_grad_(False)
    classifier = classifiers.pop(0) if content["classifier"] is not None else None
    return Saved(
        content["method"],
        settings,
        needs,
        columns,
        modules,
        classifier_settings,
        content["task"],
        classifier,
        classifiers,
        content["fitted_range"],
        path.parent,
    )


def attributes_of(task: Task) -> dict[str, Any]:
    """The attributes of a task that a fit keeps."""
    return {key: value for key, value in task.attributes.items() if key != "kind"}


def check_task(fit: Saved, path: Path, task: Task, of_any_window: bool = False) -> None:
    """Refuse a task that is not the one of the fit in `path`, or the same but for its window.

    Raises:
        BadInput: an attribute of the task differs from that of the fit's task.
    """
    ours, theirs = fit.task, attributes_of(task)
    keys = (ours.keys() | theirs.keys()) - (OF_THE_WINDOW if of_any_window else set())
    other = {key for key in keys if repr(ours.get(key)) != repr(theirs.get(key))}  # NaN is itself here
    if list(fit.columns.items()) != list(task.features.items()):
        other.add("features")
    if other:
        raise BadInput(
            f"{task.path}: is not the task that {path} was fitted on (another {', '.join(sorted(other))}); "
            "give that one, or fit on this one"
        )


def _require(good: bool, what: str) -> None:
    if not good:
        raise Damaged(what)


def _check_parts(content: Any) -> None:
    """Every part but settings and weights."""
    _require(isinstance(content, dict), "it holds no parts by name")
    for name, kinds in CONTENT.items():
        _require(isinstance(content.get(name), kinds) and name in content, f"'{name}' is missing or not what it was")
    columns, task = content["columns"], content["task"]
    for name, width in columns.items():
        _require(isinstance(name, str) and type(width) is int and width > 0, "wrong 'columns'")
    _require(0 < sum(columns.values()) <= MOST_COLUMNS, "wrong 'columns'")
    _require(all(isinstance(key, str) for key in task), "wrong 'task'")
    for key, kind in {"mass": str, "features": list, "seed": int, "dataset": str, "dataset_sha256": str}.items():
        _require(isinstance(task.get(key), kind), f"the task's '{key}' is missing or not what it was")
    for key in {"window", "mass_range"} & task.keys():
        _require(is_range(task[key]), f"wrong '{key}' of the task")
    _require(task["features"] == list(columns), "the task's 'features' are not its columns")
    for role, ranges in content["fitted_range"].items():
        good = isinstance(role, str) and isinstance(ranges, dict) and ranges.keys() <= columns.keys()
        _require(good and all(map(is_range, ranges.values())), "wrong 'fitted_range'")


def _settings(content: Mapping[str, Any], path: Path) -> tuple[Any, dict[str, Any], ClassifierSettings]:
    """The settings of the method, of what it stands on, and of its classifier."""
    name = content["method"]
    settings, needs = _opened(name, content["settings"], content["needs"], path)
    entry = catalogue.get(name)
    own = not (entry.own_score or entry.shared)
    _require((content["classifier"] is not None) == own, "a classifier too many" if not own else "no classifier")
    classifier = settings_from(ClassifierSettings, content["classifier_settings"], f"{path}: classifier")
    return settings, needs, classifier


def _opened(name: str, settings: Any, needs: Any, path: Path) -> tuple[Any, dict[str, Any]]:
    """The settings of a method and of what it stands on, and so on for the methods that it stands on."""
    _require(isinstance(name, str) and name.partition("@")[0] in catalogue.CATALOGUE, "its method is unknown")
    found = settings_from(methods.load(name).Settings, settings, f"{path}: {name}")
    wanted = entries.needs(name, vars(found))
    _require(isinstance(needs, dict) and set(needs) == set(wanted), f"'{name}' stands on other fits")
    return found, {need: _need(need, needs[need], path) for need in wanted}


def _need(name: str, given: Any, path: Path) -> Any:
    _require(name.partition("@")[0] in catalogue.CATALOGUE, "it stands on an unknown method")
    if catalogue.get(name).shared:
        return settings_from(methods.load(name).Settings, given, f"{path}: {name}")
    _require(isinstance(given, dict) and {"settings", "needs"} <= given.keys(), f"'{name}' is not what it was")
    return methods.Other(name, *_opened(name, given["settings"], given["needs"], path))


def _filled(build: Callable[[], dict[str, nn.Module]], states: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The modules that `build` makes, with weights from a file.

    They are first built without memory for the weights: settings that ask for other ones than the file holds could ask
    for any number.
    """
    with torch.device("meta"):
        shapes = {role: module.state_dict() for role, module in build().items()}
    _require(states.keys() == shapes.keys(), f"its modules are not {', '.join(shapes) or 'none'}")
    for role, expected in shapes.items():
        _check_weights(states[role], expected, role)
    modules = build()
    for role, module in modules.items():
        module.load_state_dict(states[role])
    return modules


def _check_weights(found: Any, expected: Mapping[str, Tensor], role: str) -> None:
    _require(isinstance(found, dict) and found.keys() == expected.keys(), f"the {role} has other weights")
    for name, tensor in expected.items():
        value = found[name]
        same = isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized
        _require(
            same and (value.shape, value.dtype) == (tensor.shape, tensor.dtype),
            f"'{name}' of the {role} is not what it was",
        )
    _require(not not_finite(found), f"'{not_finite(found)}' of the {role} is not finite")


def not_finite(weights: Mapping[str, Tensor]) -> str:
    """The name of the first weight that is not finite; "" if all are."""
    return next((name for name, value in weights.items() if not value.isfinite().all()), "")


def _packed(classifier: Classifier | None) -> dict[str, Any] | None:
    if classifier is None:
        return None
    if isinstance(classifier, TreeEnsemble):
        arrays = {name: torch.as_tensor(value) for name, value in vars(classifier).items()}
        return {"kind": "trees", **arrays}
    return {"kind": "mlp", **classifier.state_dict()}


def _unpacked(packed: Any, features: int, settings: ClassifierSettings) -> Classifier:
    kind = packed.get("kind") if isinstance(packed, dict) else None
    _require(kind in ("trees", "mlp"), "a classifier is neither trees nor mlp")
    content = {name: value for name, value in packed.items() if name != "kind"}
    if kind == "mlp":
        model = _filled(lambda: {"classifier": StackedMLP(features, settings)}, {"classifier": content})["classifier"]
        assert isinstance(model, StackedMLP)
        return model.eval().requires_grad_(False)
    for name, value in content.items():
        plain = (
            isinstance(value, Tensor) and value.layout is torch.strided and value.dtype in (torch.int64, torch.float64)
        )
        _require(plain, f"the trees' '{name}' is not what it was")
    trees = TreeEnsemble.from_arrays({name: value.numpy() for name, value in content.items()})
    _require(trees.features == features, "the trees are of other features")
    return trees
