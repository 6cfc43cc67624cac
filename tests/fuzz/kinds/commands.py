"""Command lines: numbers out of range, words in place of numbers, options that are repeated, missing or unknown."""

from functools import partial
from pathlib import Path

from tests.fuzz import oracles
from tests.fuzz.kinds import settings
from tests.fuzz.material import Random, copy, pick
from tests.fuzz.verdict import Case, Ran

FEW: tuple[str, ...] = (
    *("-1", "0", "1", "2", "7", "-0", "+3", "007", "1.0", "nan", "inf", "", " ", "1 ", "0x10", "x", "-", "1,2", "٣"),
)
WHOLE = (*FEW, "1000", "1001", "1e3", "1_000", str(10**20 - 1), str(2**63 - 1), str(2**63), str(2**64 - 1), "1" * 5000)
NUMBER = (*FEW, "0.5", "-0.5", "1e-3", "1e400", "-inf", "NaN", "1e-400", ".5", "5.", "1e", "0.1.2", str(2**63))
PATH = (
    *("missing.h5", "", ".", "/", "task.h5", "events.h5", "score", "search.yaml", "x\0y", "é.h5", "\udcff.h5", "-"),
    *("a" * 5000, "/proc/self/mem", "task.h5/", "../", "labelled.yaml"),
)
TEXT = (
    *("", "cpu", "cuda", "CPU", "3.3-3.7", "3.3", "n50", "n0", "s1", "s2", "s-1", "data", "test", "/", "..", "-1-2"),
    *("é", "x" * 1000, "observed", "train", "m", "y"),
)
TINY = ("-1", "-0", "0", "nan", "inf", "", "x", "1e-3", "1e400", "0.002", "1e-400", "0.1.2")
BAD = ("-1", "nan", "x", "", "1e400", "-inf")
NEED = ("x", "=", "sideband=", "a=b=c", "sideband=task.h5")
VALUES: dict[str, tuple[str, ...]] = {"FEW": FEW, "WHOLE": WHOLE, "NUMBER": NUMBER, "PATH": PATH, "TEXT": TEXT}
VALUES |= {"BAD": BAD, "TINY": TINY, "NEED": NEED, "STAGE": ("nope", "", "TRAIN")}

# Commands that work as they stand | options that may go | values to try | files that they need.
TIMED = "--batches 10 --repeats 3 --seconds 0.001"
TIMES = "--batches WHOLE --repeats FEW --seconds TINY --task PATH --provider TEXT"
LIGHT = f"""
infer template template/template.onnx | --task task.h5 --out out.h5 --threads 1
| --count WHOLE --seed WHOLE --batch-blocks WHOLE --threads WHOLE --task PATH --expect PATH --provider TEXT
| template task.h5

infer score score/score.onnx | --events task.h5 --group test --out out.h5 --threads 1
| --threads WHOLE --events PATH --group TEXT --provider TEXT | score task.h5 events.h5

infer throughput score/score.onnx | --task task.h5 {TIMED} --file-events 10 --threads 1 --out out.json
| {TIMES} --threads FEW --file-events WHOLE | score task.h5

infer describe score/score.onnx | | --provider TEXT | score

infer check score/score.onnx | | --provider TEXT | score

benchmarks task labelled.yaml | --out out.h5 | --window TEXT --injection TEXT --seed TEXT | labelled.yaml events.h5

benchmarks validate events.h5 --features x y | --mass m | --mass TEXT --cut TEXT --group TEXT --tree TEXT | events.h5
"""
HEAVY = f"""
benchmarks evaluate | --task task.h5 --scores test_scores.h5 --out out.json
| --efficiencies NUMBER --closure-events WHOLE --template PATH --data-scores PATH --scores PATH
| task.h5 test_scores.h5

benchmarks evaluate --task own.h5 --out out.json --scores data_scores.h5
| --data-scores data_scores.h5 --template-scores template_scores.h5 --efficiencies 0.1
| --efficiencies NUMBER --template-scores PATH --data-scores PATH --task PATH
| own.h5 data_scores.h5 template_scores.h5

benchmarks control | --out out.json --task task.h5 --closure-events 100 | --closure-events WHOLE --task PATH | task.h5

benchmarks report runs | | | events.h5

benchmarks describe --out figures missing.h5 | | --mass TEXT | task.h5

benchmarks run --stage export labelled.yaml | --cores 1
| --cores WHOLE --stage STAGE --device TEXT --events PATH | labelled.yaml events.h5

benchmarks showers --out events.h5/x --events 20 | --seed 1
| --events FEW --mass NUMBER --depth NUMBER --lifetime NUMBER --seed WHOLE | events.h5

benchmarks generate --out events.h5/x --events 1 signal | --seed 1
| --seed BAD --cores BAD --mass BAD --width BAD --pt-min BAD --constituents BAD --events BAD --prongs BAD | events.h5

train fit --log later --suite labelled.yaml iad | --task task.h5 --out out
| --threads WHOLE --checkpoint-seconds NUMBER --device TEXT --needs NEED --suite PATH --task PATH
| task.h5 labelled.yaml events.h5

train check labelled.yaml | | | labelled.yaml events.h5

export cell iad/model.pt | --task task.h5 --out out | --task PATH | task.h5 iad/model.pt

export compare iad/model.pt iad/score.onnx | --task task.h5 {TIMED} --out out.json
| {TIMES} | task.h5 iad/model.pt iad/score.onnx
"""
# `export cell` writes beside the fit where there is no --out.
OUTPUTS = ("out.h5", "out.json", "out", "runs", "iad/score.onnx", "iad/check.npz", "iad/export.json")


def _case(lines: str, random: Random, base: Path) -> Case:
    """One command line with one or two things changed."""
    start, options, tried, files = (part.split() for part in pick(random, lines.split("\n\n")).split("|"))
    copy(base, *files)
    given, values = (dict(zip(words[::2], words[1::2], strict=True)) for words in (options, tried))
    first, said, more = " ".join(start[:2]), [], []
    statuses = {0, 2}
    ways = (*["value"] * 8, "missing", "unknown", "short", "twice", "no value", "argument")
    for _ in range(int(random.choice([1, 1, 2]))):
        way = pick(random, ways)
        if way == "value" and values:
            name = pick(random, list(values))
            given[name] = pick(random, VALUES[values[name]])
            said.append(f"{name} {given[name]!r:.40}")
        elif way == "missing" and given:
            name = pick(random, list(given))
            del given[name]
            said.append(f"no {name}")
        elif way == "argument":
            start[-1] = pick(random, PATH)
            said.append(f"argument {start[-1]!r:.40}")
        elif way == "twice" and given:
            name = pick(random, list(given))
            more += [name, given[name]]
            said.append(f"{name} twice")
            break
        else:
            wrong = {"short": ["--prov", "cpu"], "no value": ["--out"]}
            more += wrong.get(way, [pick(random, ("--nope", "-x", "--", "nope", "---"))])
            statuses = {0, 2} if more[-1] in ("--", "nope") else {2}
            said.append(more[-1])
            break
    if first in ("benchmarks generate", "benchmarks showers"):  # which would go on for long
        statuses = {2}
    words = [[f"{name}={value}"] if random.random() < 0.2 else [name, value] for name, value in given.items()]
    command = (*start, *(word for each in words for word in each), *more)
    before = settings.stubbed if first == "benchmarks run" else (lambda: None)
    what = f"{first}: {', '.join(said)}"
    return Case(what, command, OUTPUTS, frozenset(statuses), lambda ran: _right(first, given, ran), before=before)


def _right(first: str, given: dict[str, str], ran: Ran) -> str:
    """What is wrong with the result of an accepted command line."""
    if first == "infer template":
        count = int(given["--count"]) if "--count" in given else None
        return oracles.template(str(Path(given["--task"])), given["--out"], count, int(given.get("--seed", "1")))
    if first == "infer score":
        return oracles.scores(str(Path(given["--events"])), given["--out"], given.get("--group", "/"))
    if first == "benchmarks task":
        return "" if len(oracles.table(given["--out"], "data", ("m", "x", "y"))["m"]) else "an empty task"
    if first == "benchmarks validate":
        return oracles.events("events.h5")
    if first in ("benchmarks evaluate", "benchmarks control"):
        return oracles.numbers("out.json")
    if "--out" in given and given["--out"].endswith(".json"):
        return oracles.numbers(given["--out"])
    said = {"infer describe": "sha256", "infer check": " reproduced", "infer throughput": "events/s"}
    if first in said:
        return "" if said[first] in ran.out else "nothing was said"
    made = {"benchmarks run": "runs/labelled/suite.json", "train fit": "out/model.pt"}
    made |= {"export cell": f"{given.get('--out', 'iad')}/check.npz", "train check": "labelled.yaml"}
    return "" if Path(made.get(first, "nothing")).is_file() else "nothing was made"


light = partial(_case, LIGHT)
heavy = partial(_case, HEAVY)
