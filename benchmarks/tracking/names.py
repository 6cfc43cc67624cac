"""What MLflow calls the numbers of the journal: names that say alone what is measured, at which cut, in which unit.

The journal and results.csv keep some shorter names; they are translated on their way to MLflow.
"""

import re

CUT = r"(?P<cut>[\d.e+-]+)"
RENAMED = {  # what MLflow shows instead, by a pattern of the whole name
    f"sic_{CUT}": "sic_at_{cut}",
    "auc": "signal_auc",
    f"sculpting_{CUT}": "sculpting_chi2_per_ndof_{cut}",
    # As journals of earlier runs have them.
    f"excess_{CUT}": "z_direct_{cut}",
    f"significance_{CUT}": "z_with_systematic_{cut}",
    f"(?P<what>observed|expected|systematic)_{CUT}": "{what}_{cut}",
    r"throughput\.(?P<role>\w+)\.host": "{role}_events_per_second",
    r"throughput\.(?P<role>\w+)\.(?P<scope>graph|file)": "{role}_events_per_second_{scope}",
    r"outside_fitted_range_(?P<role>\w+)": "events_outside_fitted_range_{role}",
    "signal_interval": "scanned_signal_fraction",
}


def shown(name: str) -> str:
    """The name that a number has in MLflow.

    >>> shown("sic_1e-3"), shown("throughput.template.host"), shown("sideband.loss_0")
    ('sic_at_1e-3', 'template_events_per_second', 'sideband.loss_0')
    >>> shown("z_direct_1e-3"), shown("excess_0.001")
    ('z_direct_1e-3', 'z_direct_1e-3')
    >>> shown("shower_auc/5 GeV, 1.04 m")
    'shower_auc/5 GeV_ 1.04 m'
    """
    for pattern, new in RENAMED.items():
        found = re.fullmatch(pattern, name)
        if found:
            groups = found.groupdict()
            return new.format(**groups | ({"cut": cut(float(groups["cut"]))} if "cut" in groups else {}))
    return re.sub(r"[^\w/. -]", "_", name)  # what MLflow would refuse


def cut(fraction: float) -> str:
    """A fraction of events in powers of ten: 0.0025 is 2.5e-3."""
    mantissa, _, exponent = f"{fraction:e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
