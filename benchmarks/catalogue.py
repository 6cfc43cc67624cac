"""The methods of the benchmark: what each is, and what it needs.

One line here and one file in `train/methods/` add a method. The catalogue stands in this package, and not beside the
method files, because the grid and the report must read it where no torch is installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sideband.infer.errors import BadInput

PROBLEMS = ("search", "showers")  # each has a room in `problems/`


@dataclass(frozen=True)
class Method:
    """One entry of the catalogue.

    Args:
        title: its name in figures and tables.
        paper: "arXiv:…", or "" for references of our own.
        roles: what it exports: "template" and "score", or "score" alone; "density", "encoder" or "signal"
            where it has one.
        needs: fits that it shares with other methods, each a node of the grid of its own.
        events: groups of events that it reads beside the data: "simulation", or none.
        rows: whether its fit leaves rows of its own in `source.h5`, which its template combines.
        truth: whether it reads the truth, so that it is a reference and impossible without labels.
        shared: whether it is a fit that methods share, not a method to compare.
        own_score: whether its score is a module of its own, not the suite's classifier.
        problem: the problem that it solves, one of `PROBLEMS`.
        everywhere: fitted once for all windows.
        own_fit: whether it fits a part of its template to each window, on top of a fit that serves all of them.
        of: what its setting `of` names: methods that make a "template", or whose score is a "classifier"; "" for none.
        file: its file in `train/methods/`, where that is not its own name.
        preset: settings that set it apart from the other variants of that file.
        colour: its colour in every figure. It never changes, and no other method has it.
    """

    title: str
    paper: str
    roles: tuple[str, ...] = ("score",)
    needs: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    rows: bool = False
    truth: bool = False
    own_score: bool = False
    problem: str = "search"
    shared: bool = False
    everywhere: bool = False
    own_fit: bool = False
    of: str = ""
    file: str = ""
    preset: Mapping[str, Any] = field(default_factory=dict)
    colour: str = ""

    @property
    def variant(self) -> bool:
        """Whether it is another setting of a method that stands in the catalogue by its own name."""
        return bool(self.file)

    @property
    def line(self) -> str:
        """The style of its line in every figure: dashed for a variant."""
        return "--" if self.variant else "-"


MAKES = ("template", "score")  # the roles of a method that makes a template
F4F = "arXiv:2305.04646"
FINDS = ("score", "signal")  # those of one that models the signal
SIGMA, DRAPES, CALOFLOW = "arXiv:2410.20537", "arXiv:2312.10130", "arXiv:2312.11618"
TRANSIT = "arXiv:2503.04342"
RANODE = "arXiv:2312.11629"


def _sigma(title: str, background: str, needs: str, colour: str) -> Method:
    roles = (*MAKES, "density")
    return Method(title, SIGMA, roles, (needs,), file="sigma", preset={"background": background}, colour=colour)


def _morph(title: str, consistency: float) -> Method:
    preset = {"consistency": consistency}
    return Method(title, TRANSIT, roles=(), needs=("marginals",), shared=True, file="morph", preset=preset)


def _drapes(title: str, start: str, colour: str) -> Method:
    reads = ("simulation",) if start == "simulation" else ()
    preset = {"start": start}
    return Method(title, DRAPES, MAKES, ("diffusion",), reads, file="drapes", preset=preset, colour=colour)


def _shower_fit(title: str, **more: Any) -> Method:
    return Method(title, CALOFLOW, roles=(), shared=True, problem="showers", **more)


def _shower_score(title: str, colour: str, *needs: str, file: str = "", truth: bool = False, **preset: Any) -> Method:
    own: dict[str, Any] = {"own_score": True, "problem": "showers", "file": file, "preset": preset, "colour": colour}
    return Method(title, CALOFLOW, needs=needs, truth=truth, **own)


_FLOW, _HEAVY, _LIGHT = "shower_flow", "shower_classifier", "shower_classifier_light"

CATALOGUE: dict[str, Method] = {
    "sideband": Method("Sideband flow", "arXiv:2109.00546", roles=(), shared=True),
    "cathode": Method("CATHODE", "arXiv:2109.00546", MAKES, ("sideband",), colour="#0173b2"),
    "lacathode": Method("LaCATHODE", "arXiv:2210.14924", (*MAKES, "encoder"), ("sideband",), colour="#8c8c00"),
    "reversal": Method("Gradient reversal", "arXiv:1409.7495", needs=("sideband",), own_score=True, colour="#6c6c9c"),
    "anode": Method("ANODE", "arXiv:2001.04990", needs=("sideband",), own_score=True, colour="#de8f05"),
    "ranode": Method("R-ANODE", RANODE, FINDS, ("sideband",), own_score=True, colour="#029e73"),
    "ranode_true": Method(
        "R-ANODE, true fraction",
        RANODE,
        FINDS,
        ("sideband",),
        truth=True,
        own_score=True,
        file="ranode",
        preset={"of_truth": 1.0},
        colour="#7fc8a9",
    ),
    "ranode_scan": Method("R-ANODE, scan", "arXiv:2506.00119", FINDS, ("sideband",), own_score=True, colour="#015b43"),
    "marginals": Method("Marginals of the sidebands", "arXiv:1906.04032", roles=(), shared=True),
    "marginals_all": Method(
        "Marginals of all data",
        "arXiv:1906.04032",
        roles=(),
        shared=True,
        everywhere=True,
        file="marginals",
        preset={"sidebands": False},
    ),
    "morph": Method("TRANSIT's morph", TRANSIT, roles=(), needs=("marginals",), shared=True),
    "morph_consistent": _morph("TRANSIT's morph, consistent", 10.0),
    "morph_unconsistent": _morph("TRANSIT's morph, no consistency", 0.0),
    "transit": Method("TRANSIT", TRANSIT, MAKES, ("morph",), colour="#d55e00"),
    "latransit": Method("LaTRANSIT", TRANSIT, (*MAKES, "encoder"), ("morph_consistent",), colour="#e8820e"),
    "latransit_unconsistent": Method(
        "LaTRANSIT, no consistency",
        TRANSIT,
        (*MAKES, "encoder"),
        ("morph_unconsistent",),
        file="latransit",
        colour="#9c9ede",
    ),
    "salad": Method("SALAD", "arXiv:2001.05001", MAKES, events=("simulation",), colour="#12711c"),
    "curtains": Method("CURTAINs", "arXiv:2203.09470", MAKES, ("marginals",), colour="#4a6fe3"),
    "base": Method("Base flow of all data", F4F, roles=(), shared=True, everywhere=True),
    "base_simulation": Method(
        "Base flow of the simulation",
        "arXiv:2212.11285",
        roles=(),
        shared=True,
        everywhere=True,
        file="base",
        preset={"of": "simulation"},
    ),
    "curtainsf4f": Method("CURTAINsF4F", F4F, MAKES, ("sideband", "marginals"), colour="#f14cc1"),
    "curtainsf4f_efficient": Method(
        "CURTAINsF4F, efficient",
        F4F,
        MAKES,
        ("base", "marginals"),
        own_fit=True,
        file="curtainsf4f",
        colour="#00b8c4",
    ),
    "feta": Method(
        "FETA", "arXiv:2212.11285", MAKES, ("base_simulation",), ("simulation",), own_fit=True, colour="#b8850a"
    ),
    "radot": Method("RAD-OT", "arXiv:2407.19818", MAKES, rows=True, colour="#a23582"),
    "matching": Method("Flow matching", SIGMA, roles=(), needs=("marginals_all",), shared=True, everywhere=True),
    "matching_sb": Method(
        "Sideband flow matching",
        SIGMA,
        roles=(),
        needs=("marginals",),
        shared=True,
        file="matching",
        preset={"sidebands": True, "mass_frequencies": 0},
    ),
    "sigma": Method("SIGMA", SIGMA, (*MAKES, "density"), ("matching",), colour="#cc78bc"),
    "sigma_linear": _sigma("SIGMA, linear", "linear", "matching", "#ca9161"),
    "sigma_data": _sigma("SIGMA, data model", "data", "matching", "#fbafe4"),
    "sigma_cr": _sigma("SIGMA, sidebands", "sidebands", "matching_sb", "#56b4e9"),
    "matching_one": Method(
        "Flow matching, one step", "arXiv:2101.02388", roles=(), needs=("matching",), shared=True, everywhere=True
    ),
    "sigma_one": Method("SIGMA, one step", "arXiv:2101.02388", MAKES, ("matching_one",), colour="#7a3b8f"),
    "diffusion": Method("Sideband diffusion", DRAPES, roles=(), needs=("marginals",), shared=True),
    "drapes": Method("DRAPES Φ", DRAPES, MAKES, ("diffusion",), colour="#001c7f"),
    "drapes_sb": _drapes("DRAPES SB", "sideband", "#591e71"),
    "drapes_sr": _drapes("DRAPES SR", "signal region", "#592f0d"),
    "drapes_mc": _drapes("DRAPES MC", "simulation", "#8c0800"),
    "diffusion_one": Method(
        "Sideband diffusion, one step", "arXiv:2101.02388", roles=(), needs=("diffusion",), shared=True
    ),
    "drapes_one": Method("DRAPES Φ, one step", "arXiv:2101.02388", MAKES, ("diffusion_one",), colour="#3a5fcd"),
    "drapes_one_sb": Method(
        "DRAPES SB, one step",
        "arXiv:2101.02388",
        MAKES,
        ("diffusion_one",),
        file="drapes_one",
        preset={"start": "sideband"},
        colour="#9b59b6",
    ),
    "refined": Method("Refined", "arXiv:2009.03796", MAKES, of="template", colour="#e8000b"),
    "mixed": Method("Mixed templates", "arXiv:2307.11157", MAKES, rows=True, of="template", colour="#1ac938"),
    "combined": Method("Combined scores", "arXiv:2307.11157", of="classifier", colour="#8b2be2"),
    "cwola": Method("CWoLa", "arXiv:1805.02664", MAKES, rows=True, colour="0.65"),
    "iad": Method("Idealised detector", "", truth=True, colour="0.15"),
    "supervised": Method("Supervised", "", truth=True, colour="0.45"),
    "shower_flow": _shower_fit("CaloFlow's flows"),
    "shower_layers": _shower_fit("CaloFlow's first flow, in logits"),
    "shower_classifier": _shower_fit("Shower classifier, 5 GeV", truth=True),
    "shower_classifier_light": _shower_fit(
        "Shower classifier, 5 MeV", truth=True, file="shower_classifier", preset={"mass": 0.005}
    ),
    "caloflow": Method(
        "CaloFlow, -log p",
        CALOFLOW,
        (*MAKES, "density"),
        needs=(_FLOW,),
        own_score=True,
        problem="showers",
        colour="#4c72b0",
    ),
    "caloflow_logits": _shower_score("CaloFlow, -log p in logits", "#ccb974", _FLOW, file="caloflow", score="logits"),
    "caloflow_released": _shower_score("CaloFlow, released code", "#8c613c", _FLOW, "shower_layers"),
    "caloflow_two_sided": _shower_score("CaloFlow, two-sided", "#dd8452", _FLOW, file="caloflow", score="two-sided"),
    "caloflow_layers": _shower_score("CaloFlow, layers", "#55a868", _FLOW, file="caloflow", score="layers"),
    "caloflow_voxels": _shower_score("CaloFlow, voxels", "#c44e52", _FLOW, file="caloflow", score="voxels"),
    "shower_statistic": _shower_score("Hit voxels", "#8172b3"),
    "shower_first_layer": _shower_score(
        "Little in the first layer", "#937860", file="shower_statistic", statistic="first layer"
    ),
    "shower_last_layer": _shower_score(
        "Much in the last layer", "#da8bc3", file="shower_statistic", statistic="last layer"
    ),
    "shower_supervised": _shower_score("Supervised, 5 GeV", "0.2", _HEAVY, truth=True),
    "shower_supervised_light": _shower_score("Supervised, 5 MeV", "0.55", _LIGHT, file="shower_supervised", truth=True),
    "shower_combined": _shower_score("CaloFlow and supervised, 5 GeV", "#64b5cd", _FLOW, _HEAVY, truth=True),
}


def get(name: str) -> Method:
    """The catalogue's entry of a name. A suite may list a method more than once, as METHOD@LABEL.

    Raises:
        BadInput: an unknown or missing method.

    >>> get("drapes_sb").title, get("cathode@narrow").title
    ('DRAPES SB', 'CATHODE @ narrow')
    """
    base, _, label = name.partition("@")
    if label and base in CATALOGUE:
        entry = CATALOGUE[base]
        return replace(entry, title=f"{entry.title} @ {label.replace('@', ' @ ')}", file=entry.file or base)
    if name in CATALOGUE:
        return CATALOGUE[name]
    methods = [each for each, entry in CATALOGUE.items() if not entry.shared]
    raise BadInput(f"unknown method '{name}'; there are: {', '.join(methods)}")
