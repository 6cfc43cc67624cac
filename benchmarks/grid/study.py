"""Studies: what a suite varies beside the method, so that the report has a section on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sideband.infer.errors import BadInput

GRID = ("injections", "windows", "tasks")  # what the grid itself may vary


@dataclass(frozen=True)
class Study:
    """One study.

    Args:
        vary: "injections", "windows", "tasks", or a setting of methods.
        of: the methods whose setting is varied, each by entries METHOD@LABEL of the suite.
        beside: entries without this setting that are shown beside, as a student beside its teacher.
    """

    vary: str
    of: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def entries(self, methods: Mapping[str, Mapping[str, Any] | None]) -> dict[str, dict[str, float]]:
        """The values of the setting by entry, by method."""
        return {
            base: {
                name: float(given[self.vary])
                for name, given in methods.items()
                if name.partition("@")[0] == base and given and self.vary in given and "@" in name
            }
            for base in self.of
        }


def read(content: Mapping[str, Any]) -> list[Study]:
    """The studies of a suite, in their order."""
    return [
        Study(each["vary"], tuple(each.get("of", ())), tuple(each.get("beside", ()))) for each in content["studies"]
    ]


def check(content: Mapping[str, Any], path: Path) -> None:
    """Raise `BadInput` for a study of a setting without entries to vary it, or with one that is no number."""
    for index, study in enumerate(read(content)):
        place = f"{path}: studies.{index}"
        if study.vary in GRID:
            for key in ("of", "beside"):
                if getattr(study, key):
                    raise BadInput(f"{place}: {study.vary} are varied for every method; remove '{key}'")
            continue
        if not study.of:
            raise BadInput(f"{place}: '{study.vary}' is a setting; 'of' must list the methods whose setting it is")
        for name in study.beside:
            if name not in content["methods"]:
                raise BadInput(f"{place}: beside: {name} is no entry of the suite's methods; add it, or remove it here")
        for name, given in content["methods"].items():
            base, _, label = name.partition("@")
            value = (given or {}).get(study.vary)
            if base in study.of and label and value is not None and type(value) not in (int, float):
                raise BadInput(f"{place}: {name} has {study.vary} {value!r}; only numbers can be varied")
        for base, values in study.entries(content["methods"]).items():
            if not values:
                raise BadInput(
                    f"{place}: no entry {base}@LABEL of the suite sets '{study.vary}'; add some, or remove {base}"
                )
