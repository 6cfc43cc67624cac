"""A method fitted in a search: templates, scores, and the files to take elsewhere."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sideband.api import columns
from sideband.export.cell import REPORT, VECTORS
from sideband.infer import events
from sideband.infer import score as scores
from sideband.infer import template as templates
from sideband.infer.arguments import LARGEST_SEED
from sideband.infer.columns import SOURCE_ROW
from sideband.infer.errors import BadInput
from sideband.infer.model import Model
from sideband.train.methods import ROWS

if TYPE_CHECKING:
    from sideband.api.search import Search


@dataclass(frozen=True, repr=False)
class Fit:
    """What `Search.fit` returns.

    Args:
        search: the search, whose folder lives as long as its fits.
        method: the name that it was fitted under.
        folder: its cell, with the exported graphs.
    """

    search: "Search"
    method: str
    folder: Path

    def __repr__(self) -> str:
        low, high = self.search.window
        return f"Fit({self.method!r} in {low:g}-{high:g}: {', '.join(path.name for path in self.graphs)})"

    @property
    def graphs(self) -> list[Path]:
        """The exported ONNX files, less those of the cross-fit."""
        return sorted(path for path in self.folder.glob("*.onnx") if not path.name.startswith("fold"))

    def template(self, number: int, seed: int | None = None) -> dict[str, NDArray[Any]]:
        """Draw background events of the window.

        Args:
            number: of events.
            seed: of the draw, from 0 on; that of the search begins with the events of the training template.

        Returns:
            Columns `[number]`: the mass, the features, `weight` for a method that reweights, and `source_row` for one
            whose events began as others: which event of the search each was. Those of its simulation come after them.

        Raises:
            BadInput: the method makes no template, or not such a number.
        """
        self.check_template()
        if not isinstance(number, int | np.integer) or number < 1:
            raise BadInput(f"template({number!r}): give the number of events, a whole number from 1 on")
        if seed is not None and not (isinstance(seed, int | np.integer) and 0 <= seed <= LARGEST_SEED):
            raise BadInput(f"template(seed={seed!r}): give a whole number from 0 to {LARGEST_SEED}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "template.h5"
            templates.generate(Model(self.folder / "template.onnx"), self.search.task(), path, int(number), seed)
            with events.opened(path) as file:
                names = list(file)
            order = [name for name in (*self.search.columns, "weight") if name in names]
            rows = [name for name in (SOURCE_ROW,) if name in names]
            return {**events.read(path, order), **events.whole(path, rows)}

    def score(self, table: Any, mass: Any = None) -> NDArray[np.float32]:
        """Anomaly scores `[N]` of events, larger = more like signal.

        The classifier has seen the events of the search. `Search.excess` uses scores of classifiers that have not.

        Args:
            table: features, and the mass too, in any form that `Search` takes features in. Further columns are left
                aside.
            mass: `[N]`, where the table has none; only scores that depend on the mass need one.

        Raises:
            BadInput: not such events, or no mass where one is needed.
        """
        name, *wanted = self.search.columns
        model = Model(self.folder / "score.onnx")
        mass = columns.mass_of(table, name) if mass is None else mass
        if mass is None and any(name in port.columns for port in model.inputs.values()):
            raise BadInput(f"score: no column {name!r}, which this score depends on; give it, or mass=")
        features = columns.named(table, wanted)
        found = columns.checked({**({} if mass is None else {name: mass}), **features})
        with tempfile.TemporaryDirectory() as folder:
            path, out = Path(folder) / "events.h5", Path(folder) / "scores.h5"
            with events.new_file(path) as file:
                events.write(file, found)
            scores.score([model], path, out)
            return events.read(out, ["score"])["score"]

    def export(self, folder: str | Path) -> list[Path]:
        """Copy the ONNX files, their check vectors and their digests to a folder; returns the copies.

        Raises:
            BadInput: the folder cannot be written.
        """
        names = [path.name for path in self.folder.glob("*.onnx")]
        names += [name for name in (VECTORS, REPORT, ROWS) if (self.folder / name).exists()]
        copies = [Path(folder) / name for name in sorted(names)]
        for path in copies:
            events.check_output(path, [self.folder / path.name])
        for path in copies:
            with events.atomic(path) as temporary:
                shutil.copyfile(self.folder / path.name, temporary)
        return copies

    def check_template(self) -> None:
        """Refuse a method that makes no template; raises `BadInput`."""
        if not (self.folder / "template.onnx").exists():
            makers = ", ".join(name for name in self.search.methods if self.search.makes_template(name))
            raise BadInput(f"'{self.method}' makes no template of the background; fit one of {makers}")
