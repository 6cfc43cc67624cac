"""A finished fit on disk: model.pt holds what rebuilds its modules and classifiers, and nothing that runs code."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from infer import events
from infer.errors import BadInput, in_one_line
from train import methods
from train.classifier import ClassifierSettings, StackedMLP
from train.settings import settings_from
from train.trees import TreeEnsemble

Classifier = TreeEnsemble | StackedMLP


@dataclass
class Saved:
    """A fit, opened.

    Args:
        method: its name; settings: its settings; needs: the settings of the shared fits it stands on.
        columns: the numbers an event of each feature, by name.
        modules: by role.
        classifier_settings: of the classifiers below.
        task: what the task says of itself.
        classifier: the score of a method without one of its own.
        folds: the classifiers of the cross-fit.
        fitted_range: by role, the range of each feature the fit has seen, beyond which it is clamped.
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
            torch.save(content, temporary)


def load(path: str | Path, device: torch.device | None = None) -> Saved:
    """Open what `Saved.save` wrote, in evaluation mode.

    Raises:
        BadInput: no such file, or not a fit of Sideband.
    """
    if not Path(path).is_file():
        raise BadInput(f"{path}: no such file; `python -m train` writes it")
    try:
        content = torch.load(path, map_location=device or "cpu", weights_only=True)
        method, columns = content["method"], dict(content["columns"])
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError, UnpicklingError) as error:
        raise BadInput(f"{path}: not a fit of Sideband ({in_one_line(error)}); train it again") from error
    file = methods.load(method)
    settings = settings_from(file.Settings, content["settings"], str(path))
    needs = {
        name: settings_from(methods.load(name).Settings, given, str(path)) for name, given in content["needs"].items()
    }
    width = sum(columns.values())
    modules = file.build(settings, width, needs)
    for role, module in modules.items():
        module.load_state_dict(content["modules"][role])
        module.to(device or "cpu").eval().requires_grad_(False)
    classifier_settings = settings_from(ClassifierSettings, content["classifier_settings"], str(path))
    classifiers = [
        _unpacked(packed, width, classifier_settings) for packed in (content["classifier"], *content["folds"])
    ]
    return Saved(
        method,
        settings,
        needs,
        columns,
        modules,
        classifier_settings,
        content["task"],
        classifiers[0],
        [fold for fold in classifiers[1:] if fold is not None],
        content["fitted_range"],
    )


def _packed(classifier: Classifier | None) -> dict[str, Any] | None:
    if classifier is None:
        return None
    if isinstance(classifier, TreeEnsemble):
        arrays = {name: torch.as_tensor(value) for name, value in vars(classifier).items()}
        return {"kind": "trees", **arrays}
    return {"kind": "mlp", **classifier.state_dict()}


def _unpacked(packed: Mapping[str, Any] | None, features: int, settings: ClassifierSettings) -> Classifier | None:
    if packed is None:
        return None
    content = {name: value for name, value in packed.items() if name != "kind"}
    if packed["kind"] == "trees":
        arrays = {name: value.cpu().numpy() for name, value in content.items()}
        return TreeEnsemble(**{**arrays, "features": int(arrays["features"])})
    model = StackedMLP(features, settings)
    model.load_state_dict(content)
    return model.eval().requires_grad_(False)
