"""The methods of the benchmark: what each is, what it needs, and which ones are still missing.

One line here and one file in `train/methods/` add a method. The catalogue stands in this package, and not beside the
method files, because the grid and the report must read it where no torch is installed.
"""

from dataclasses import dataclass

from infer.errors import BadInput


@dataclass(frozen=True)
class Method:
    """One entry of the catalogue.

    Args:
        title: what figures and tables call it.
        paper: title-free reference, "arXiv:…", or "" for references of our own.
        roles: what it exports: "template" and "score", or "score" alone.
        needs: fits that it shares with other methods, each a node of the grid of its own.
        source: events its template starts from: "sideband", "simulation" or None (noise).
        truth: whether it reads the truth, so that it is a reference and impossible without labels.
        shared: whether it is a fit that methods share, not a method to compare.
    """

    title: str
    paper: str
    roles: tuple[str, ...] = ("score",)
    needs: tuple[str, ...] = ()
    source: str | None = None
    truth: bool = False
    shared: bool = False


CATALOGUE: dict[str, Method] = {
    "sideband": Method("Sideband flow", "arXiv:2109.00546", roles=(), shared=True),
    "cathode": Method("CATHODE", "arXiv:2109.00546", ("template", "score"), needs=("sideband",)),
    "anode": Method("ANODE", "arXiv:2001.04990", needs=("sideband",)),
    "ranode": Method("R-ANODE", "arXiv:2312.11629", needs=("sideband",)),
    "transit": Method("TRANSIT", "arXiv:2503.04342", ("template", "score"), source="sideband"),
    "cwola": Method("CWoLa", "arXiv:1805.02664"),
    "iad": Method("Idealised detector", "", truth=True),
    "supervised": Method("Supervised", "", truth=True),
}

# Published, not built yet: listed so that nobody takes their absence for a verdict.
ABSENT: dict[str, Method] = {
    "curtains": Method("CURTAINs", "arXiv:2203.09470"),
    "curtainsf4f": Method("CURTAINsF4F", "arXiv:2305.04646"),
    "feta": Method("FETA", "arXiv:2212.11285"),
    "salad": Method("SALAD", "arXiv:2001.05001"),
    "sigma": Method("SIGMA", "arXiv:2410.20537"),
    "drapes": Method("DRAPES", "arXiv:2312.10130"),
    "radot": Method("RAD-OT", "arXiv:2407.19818"),
    "caloflow": Method("CaloFlow", "arXiv:2312.11618"),
}


def get(name: str) -> Method:
    """The catalogue's entry of `name`; raises `BadInput` for an unknown or missing method."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    if name in ABSENT:
        raise BadInput(f"method '{name}' ({ABSENT[name].paper}) is not built yet; there are: {', '.join(CATALOGUE)}")
    raise BadInput(f"unknown method '{name}'; there are: {', '.join(CATALOGUE)}")
