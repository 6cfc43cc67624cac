"""Reads Compose files, which have a tag of their own for a list that replaces another."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


class Reader(yaml.SafeLoader):
    pass


Reader.add_constructor("!override", lambda reader, node: reader.construct_sequence(node))


def services(name: str = "docker-compose.yml") -> dict[str, Any]:
    return yaml.load((ROOT / name).read_text(), Reader)["services"]
