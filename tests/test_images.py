"""Every image is called by the version of the package, and labelled with it."""

import tomllib

import pytest

from tests.compose import ROOT, services

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = f"${{SIDEBAND_VERSION:-{PROJECT['version']}}}"


@pytest.mark.parametrize(("file", "kind"), [("docker-compose.yml", ""), ("docker-compose.gpu.yml", "-cuda")])
def test_images_are_tagged_by_the_version_and_as_latest(file: str, kind: str) -> None:
    """The list of a second file would be added to that of the first: the CUDA build would be the CPU's latest, too."""
    built = {name: each for name, each in services(file).items() if "image" in each}
    assert {"train", "export", "infer"} <= set(built)
    for name, each in built.items():
        assert each["image"] == f"sideband-{name}{kind}:{VERSION}"
        assert each["build"]["tags"] == [f"sideband-{name}{kind}"]
    assert (ROOT / file).read_text().count("tags: !override") == (len(built) if kind else 0)


def test_images_say_what_they_are() -> None:
    for each in services().values():
        labels = {
            key.removeprefix("org.opencontainers.image."): value for key, value in each["build"]["labels"].items()
        }
        assert labels["version"] == VERSION
        assert labels["licenses"] == PROJECT["license"]
        assert labels["revision"] == "${SIDEBAND_REVISION:-unknown}"
