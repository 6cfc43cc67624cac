"""The data set of a suite: the embedded dijets, muon pairs, files of one's own, or the LHC Olympics files."""

import glob
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sideband.benchmarks.events import changes, dimuons, formats, own, whole
from sideband.benchmarks.events.tables import Dataset
from sideband.infer import events
from sideband.infer.called import called
from sideband.infer.damage import check_regular
from sideband.infer.errors import BadInput

PARTS = ("data", "signal", "background", "simulation")
SHIPPED = ("dijets", "dimuons")  # sources whose events come with Sideband: labelled, and with a simulation
DIJETS = Path(__file__).with_name("dijets")
# The files of the embedded dijets that a section may choose among.
RESONANCES = {"two_prongs": "signal", "three_prongs": "signal_three_prongs", "heavy": "signal_heavy"}
SHOWERS = {"alphas": "simulation", "vincia": "simulation_vincia"}


def load(config: Mapping[str, Any], base: Path) -> Dataset:
    """Read the data set that a suite's `dataset` section describes.

    Args:
        config: the section, valid by the schema.
        base: the folder that relative paths start from.

    Raises:
        BadInput: a file, a column or a value is not as the section says.
    """
    paths = files(config, base)
    with formats.unchanged(paths.values()):  # from the digest on
        found = _read(config, paths, identity(config, base))
    return changes.changed(whole.noted(found), config)


def _read(config: Mapping[str, Any], found: Mapping[str, Path], digest: str) -> Dataset:
    if config["source"] == "dimuons":
        return dimuons.dimuons(config, digest)
    if config["source"] == "lhco":
        from sideband.benchmarks.events import lhco  # needs pandas

        return lhco.olympics(config, found, digest)
    return (own.embedded if config["source"] == "dijets" else own.own)(config, found, digest)


def files(config: Mapping[str, Any], base: Path) -> dict[str, Path]:
    """The files of the section by part: data, and signal, background and simulation if given.

    Further files of a part follow its first one as "data 2", "data 3" and so on.

    Raises:
        BadInput: a file does not exist, or is a folder or a device; or a pattern matches none.
    """
    if config["source"] == "dimuons":
        return {}
    if config["source"] == "dijets":
        chosen = {"signal": RESONANCES[config.get("resonance", "two_prongs")]}
        chosen |= {"simulation": SHOWERS[config.get("shower", "alphas")]}
        return {part: DIJETS / f"{chosen.get(part, part)}.h5" for part in PARTS}
    found = {}
    for part in (*PARTS, "test"):
        for index, path in enumerate(_paths(part, config.get(part, []), base)):
            found[f"{part} {index + 1}" if index else part] = path
    if config["source"] == "shower_files":
        found |= {f"decays {index}": base / each["file"] for index, each in enumerate(config["decays"])}
    for part, path in found.items():
        if not os.path.exists(path):
            fetched = f"; `{called('benchmarks', 'download')}` fetches the LHC Olympics files"
            hint = fetched if config["source"] == "lhco" else ""
            raise BadInput(f"{path}: no such file (the suite's dataset.{part.split()[0]}){hint}")
        check_regular(path)
    return found


def _paths(part: str, given: str | list[str], base: Path) -> Iterator[Path]:
    """The files that a section names for a part, in its order; those of a pattern in the order of their names."""
    seen = set()
    for name in [given] if isinstance(given, str) else given:
        matches = [str(base / name)]
        if not os.path.exists(base / name) and glob.has_magic(name):
            matches = sorted(glob.glob(str(base / name), recursive=True))
            if not matches:
                raise BadInput(f"{base / name}: matches no file (the suite's dataset.{part}); correct the pattern")
        for path in matches:
            if os.path.realpath(path) in seen:
                raise BadInput(f"{path}: is named twice (the suite's dataset.{part}); name it once")
            seen.add(os.path.realpath(path))
            yield Path(path)


def absolute(section: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The section with the paths in it, wherever they stand, from the root."""

    def resolved(key: str, value: Any) -> Any:
        if key in (*PARTS, "test", "file"):
            return [resolved(key, each) for each in value] if isinstance(value, list) else _from_root(base, value)
        return [absolute(each, base) for each in value] if key == "decays" and isinstance(value, list) else value

    return {key: resolved(key, value) for key, value in section.items()}


def _from_root(base: Path, name: str) -> str:
    """A path, or a pattern of paths, from the root."""
    return os.path.realpath(base / name)


def identity(config: Mapping[str, Any], base: Path) -> str:
    """A digest of the section and of the contents of its files, which may lie anywhere."""
    options = sorted((key, str(_without_file(value))) for key, value in config.items() if key not in (*PARTS, "test"))
    contents: list[tuple[str, Any]] = [(part, events.sha256(path)) for part, path in files(config, base).items()]
    if config["source"] == "dimuons":
        contents.append(("version", dimuons.VERSION))
    return hashlib.sha256(repr((options, contents)).encode()).hexdigest()


def _without_file(value: Any) -> Any:
    """A list of samples without the names of their files; any other value as it is."""
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return [sorted((key, option) for key, option in each.items() if key != "file") for each in value]
    return value
