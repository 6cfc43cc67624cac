"""The methods of the benchmark: what each is, what it needs, and which ones are still missing.

One line here and one file in `train/methods/` add a method. The catalogue stands in this package, and not beside the
method files, because the grid and the report must read it where no torch is installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sideband.infer.errors import BadInput


@dataclass(frozen=True)
class Method:
    """One entry of the catalogue.

    Args:
        title: what figures and tables call it.
        paper: title-free reference, "arXiv:…", or "" for references of our own.
        roles: what it exports: "template" and "score", or "score" alone; "density" where it has one.
        needs: fits that it shares with other methods, each a node of the grid of its own.
        source: events its template starts from: "sideband", "signal region", "simulation" or None (noise).
        truth: whether it reads the truth, so that it is a reference and impossible without labels.
        shared: whether it is a fit that methods share, not a method to compare.
        own_score: whether its score is a module of its own, not the suite's classifier.
        showers: whether it is for calorimeter showers, not for events with a mass.
        everywhere: of a shared fit, whether it does not depend on the window, so that every window uses the first's.
        file: its file in `train/methods/`, where that is not its own name.
        preset: settings that make it what it is among the variants of that file.
    """

    title: str
    paper: str
    roles: tuple[str, ...] = ("score",)
    needs: tuple[str, ...] = ()
    source: str | None = None
    truth: bool = False
    own_score: bool = False
    showers: bool = False
    shared: bool = False
    everywhere: bool = False
    file: str = ""
    preset: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variant(self) -> bool:
        """Whether it is another setting of a method that stands in the catalogue by its own name."""
        return bool(self.file)


SIGMA, DRAPES, CALOFLOW = "arXiv:2410.20537", "arXiv:2312.10130", "arXiv:2312.11618"


def _sigma(title: str, background: str, needs: str) -> Method:
    roles = ("template", "score", "density")
    return Method(title, SIGMA, roles, (needs,), file="sigma", preset={"background": background})


def _drapes(title: str, start: str) -> Method:
    return Method(title, DRAPES, ("template", "score"), ("diffusion",), start, file="drapes", preset={"start": start})


def _shower_fit(title: str, **more: Any) -> Method:
    return Method(title, CALOFLOW, roles=(), shared=True, showers=True, **more)


def _shower_score(title: str, file: str, needs: tuple[str, ...], truth: bool = False, **preset: Any) -> Method:
    return Method(title, CALOFLOW, needs=needs, truth=truth, own_score=True, showers=True, file=file, preset=preset)


CATALOGUE: dict[str, Method] = {
    "sideband": Method("Sideband flow", "arXiv:2109.00546", roles=(), shared=True),
    "cathode": Method("CATHODE", "arXiv:2109.00546", ("template", "score"), needs=("sideband",)),
    "anode": Method("ANODE", "arXiv:2001.04990", needs=("sideband",), own_score=True),
    "ranode": Method("R-ANODE", "arXiv:2312.11629", needs=("sideband",), own_score=True),
    "transit": Method("TRANSIT", "arXiv:2503.04342", ("template", "score"), source="sideband"),
    "matching": Method("Flow matching", SIGMA, roles=(), shared=True, everywhere=True),
    "matching_sb": Method(
        "Sideband flow matching",
        SIGMA,
        roles=(),
        shared=True,
        file="matching",
        preset={"sidebands": True, "mass_frequencies": 0},
    ),
    "sigma": Method("SIGMA", SIGMA, ("template", "score", "density"), needs=("matching",)),
    "sigma_linear": _sigma("SIGMA, linear", "linear", "matching"),
    "sigma_data": _sigma("SIGMA, data model", "data", "matching"),
    "sigma_cr": _sigma("SIGMA, sidebands", "sidebands", "matching_sb"),
    "diffusion": Method("Sideband diffusion", DRAPES, roles=(), shared=True),
    "drapes": Method("DRAPES Φ", DRAPES, ("template", "score"), needs=("diffusion",)),
    "drapes_sb": _drapes("DRAPES SB", "sideband"),
    "drapes_sr": _drapes("DRAPES SR", "signal region"),
    "drapes_mc": _drapes("DRAPES MC", "simulation"),
    "cwola": Method("CWoLa", "arXiv:1805.02664"),
    "iad": Method("Idealised detector", "", truth=True),
    "supervised": Method("Supervised", "", truth=True),
    "shower_flow": _shower_fit("CaloFlow's flows"),
    "shower_classifier": _shower_fit("Shower classifier, 5 GeV", truth=True),
    "shower_classifier_light": _shower_fit(
        "Shower classifier, 5 MeV", truth=True, file="shower_classifier", preset={"mass": 0.005}
    ),
    "caloflow": Method(
        "CaloFlow, -log p",
        CALOFLOW,
        ("template", "score", "density"),
        needs=("shower_flow",),
        own_score=True,
        showers=True,
    ),
    "caloflow_two_sided": _shower_score("CaloFlow, two-sided", "caloflow", ("shower_flow",), score="two-sided"),
    "caloflow_layers": _shower_score("CaloFlow, layers", "caloflow", ("shower_flow",), score="layers"),
    "caloflow_voxels": _shower_score("CaloFlow, voxels", "caloflow", ("shower_flow",), score="voxels"),
    "shower_statistic": _shower_score("Hit voxels", "", ()),
    "shower_first_layer": _shower_score("Little in the first layer", "shower_statistic", (), statistic="first layer"),
    "shower_last_layer": _shower_score("Much in the last layer", "shower_statistic", (), statistic="last layer"),
    "shower_supervised": _shower_score("Supervised, 5 GeV", "", ("shower_classifier",), truth=True),
    "shower_supervised_light": _shower_score(
        "Supervised, 5 MeV", "shower_supervised", ("shower_classifier_light",), truth=True
    ),
    "shower_combined": _shower_score(
        "CaloFlow and supervised, 5 GeV", "", ("shower_flow", "shower_classifier"), truth=True
    ),
}

# Published, not built yet: listed so that nobody takes their absence for a verdict.
ABSENT: dict[str, Method] = {
    "curtains": Method("CURTAINs", "arXiv:2203.09470"),
    "curtainsf4f": Method("CURTAINsF4F", "arXiv:2305.04646"),
    "feta": Method("FETA", "arXiv:2212.11285"),
    "salad": Method("SALAD", "arXiv:2001.05001"),
    "radot": Method("RAD-OT", "arXiv:2407.19818"),
}


def get(name: str) -> Method:
    """The catalogue's entry of `name`, or of METHOD in `METHOD@LABEL`, by which a suite has one method more than once.

    Raises:
        BadInput: an unknown or missing method.
    """
    base, _, label = name.partition("@")
    if label and base in CATALOGUE:
        entry = CATALOGUE[base]
        return replace(entry, title=f"{entry.title} @ {label}", file=entry.file or base)
    if name in CATALOGUE:
        return CATALOGUE[name]
    if name in ABSENT:
        raise BadInput(f"method '{name}' ({ABSENT[name].paper}) is not built yet; there are: {', '.join(CATALOGUE)}")
    raise BadInput(f"unknown method '{name}'; there are: {', '.join(CATALOGUE)}")
