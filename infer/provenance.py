"""The origin of a number: code, library versions, machine."""

import functools
import hashlib
import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("infer", "benchmarks", "train", "export")
LIBRARIES = ("numpy", "h5py", "onnxruntime", "onnxruntime-gpu", "torch", "onnx", "onnxscript", "scikit-learn")


@functools.cache
def code() -> str:
    """The identity of the code: the git commit, if there is one, and a digest of the source files.

    The digest shows uncommitted edits, and works in images without git.
    """
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{_commit(root)}+{digest.hexdigest()[:12]}"


def _commit(root: Path) -> str:
    """The checked-out commit, read from .git directly because images have no git program."""
    try:
        head = (root / ".git" / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        loose = root / ".git" / name
        if loose.is_file():
            return loose.read_text().strip()
        for line in (root / ".git" / "packed-refs").read_text().splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except OSError:
        pass
    return "no-git"


def versions() -> dict[str, str]:
    """Versions of the installed libraries that affect results."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@functools.cache
def machine() -> dict[str, str | int]:
    """The machine: processor, usable cores, memory [MiB], operating system, and the GPU if there is one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_mib": memory,
        "system": f"{platform.system()} {platform.release()}",
        "gpu": _gpu(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return "; ".join(found.strip().splitlines())


def peak_memory_mib() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def record() -> dict[str, str | int]:
    """All of it as one flat record, to go with a measurement."""
    return {"code": code(), **{f"version_{name}": value for name, value in versions().items()}, **machine()}
