import pytest

from sideband.infer.errors import BadInput, GateFailed, guarded


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (BadInput("a file\n  is broken"), 2, "error: a file is broken\n"),
        (GateFailed("differs"), 1, "failed: differs\n"),
        (
            ModuleNotFoundError("No module named 'yaml'", name="yaml"),
            2,
            "error: yaml is not installed; install Sideband with its extra 'all', or that of the stage\n",
        ),
        (None, 0, ""),
    ],
)
def test_guarded_ends_with_one_line_and_a_status(
    raised: Exception | None, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        if raised is not None:
            raise raised

    with pytest.raises(SystemExit) as left:
        guarded(main)
    assert left.value.code == status
    assert capsys.readouterr().err == line


def test_guarded_hands_on_a_status_and_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        guarded(lambda: 1)
    assert left.value.code == 1

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as left:
        guarded(interrupted)
    assert left.value.code == 130
    assert capsys.readouterr().err.startswith("interrupted: ")


def test_guarded_hides_no_mistake_of_our_own() -> None:
    def wrong() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guarded(wrong)

    def renamed() -> None:
        raise ModuleNotFoundError("No module named 'sideband.infer.gone'", name="sideband.infer.gone")

    with pytest.raises(ModuleNotFoundError):
        guarded(renamed)
