import argparse

import pytest

from sideband.infer.arguments import Parser, number, whole
from sideband.infer.errors import BadInput


@pytest.fixture
def parser() -> Parser:
    parser = Parser(prog="it")
    verb = parser.add_subparsers(dest="verb", required=True).add_parser("do")
    verb.add_argument("path", nargs="?")
    verb.add_argument("--window")
    verb.add_argument("--count", type=whole(1, 100))
    verb.add_argument("--rate", type=number(0, 1))
    return parser


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "arguments are required: verb; `it --help`"),
        (["do", "--count", "0"], "'0' is not a whole number from 1 to 100; `it do --help`"),
        (["do", "--count", "1.0"], "'1.0' is not a whole number"),
        (["do", "--count", "٣"], "is not a whole number"),
        (["do", "--count", "9" * 5000], "is not a whole number"),
        (["do", "--rate", "nan"], "'nan' is not a number above 0 and up to 1"),
        (["do", "--rate", "-1e-3"], "'-1e-3' is not a number above 0"),
        (["do", "--rate", "inf"], "'inf' is not a number"),
        (["do", "--cou", "1"], "unrecognized arguments"),
    ],
)
def test_a_mistake_is_one_line(parser: Parser, given: list[str], said: str) -> None:
    with pytest.raises(BadInput, match=said.replace("(", r"\(")) as refused:
        parser.parse_args(given)
    assert "\n" not in str(refused.value)


def test_values_may_be_negative(parser: Parser) -> None:
    found = parser.parse_args(["do", "--window", "-3.5--1", "-1-2/n0/s1/task.h5"])
    assert (found.window, found.path) == ("-3.5--1", "-1-2/n0/s1/task.h5")
    assert parser.parse_args(["do", "--count", "100", "--rate", "1e-3"]) == argparse.Namespace(
        verb="do", path=None, window=None, count=100, rate=1e-3
    )
