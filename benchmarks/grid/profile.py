"""Snakemake profiles: how a run hands its steps to a cluster."""

import os
from pathlib import Path

import yaml

from sideband.infer.errors import BadInput

PROFILES = Path(__file__).parents[1] / "profiles"


def folder(name: str) -> Path:
    """The folder of a profile, which holds its config.yaml: one of ours by its name, or any other.

    Raises:
        BadInput: there is none, or its file is not a mapping.
    """
    ours = sorted(path.parent.name for path in PROFILES.glob("*/config.yaml"))
    found = PROFILES / name if name in ours else Path(name).resolve()
    path = found / "config.yaml"
    if not path.is_file():
        raise BadInput(f"--profile {name}: no folder with a config.yaml, and none of {', '.join(ours)}")
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: not YAML; copy one of {PROFILES} and change it") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path}: names no options of Snakemake; copy one of {PROFILES} and change it")
    return found


def environment(found: Path | None) -> dict[str, str]:
    """The environment of Snakemake: a profile's folder may hold an executor of its own."""
    if found is None:
        return dict(os.environ)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(found), os.environ.get("PYTHONPATH")]))}
