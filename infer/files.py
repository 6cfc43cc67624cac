"""Output files: the place is checked before any work, and a file appears only when it is complete."""

import errno
import fcntl
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import BadInput

_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_UNWRITABLE |= {errno.EISDIR, errno.ENOTDIR, errno.EEXIST}  # a folder or a file is in the way
_UNWRITABLE |= {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}  # not a valid name
_LONGEST_NAME = 200  # bytes; the temporary files beside it have longer names


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a place for an output before any work; nothing is written.

    Args:
        path: the file to be written.
        inputs: files that are read for it; another name of the same file counts too.

    Raises:
        BadInput: the name is not valid, or the place is taken by an input or by anything but a regular file.
    """
    path = Path(path)
    if not path.name or path.name in (".", "..") or "\0" in str(path):
        raise BadInput(f"'{path}': not the name of a file to write; choose another one")
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise BadInput(f"{path}: cannot be written (its name is over {_LONGEST_NAME} bytes long); choose a shorter one")
    try:
        there = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    if not stat.S_ISREG(there.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFCHR: "a device"}
        kinds |= {stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        what = kinds.get(stat.S_IFMT(there.st_mode), "no regular file")
        raise BadInput(f"{path}: cannot be written ({what} is there); choose another place")
    for each in inputs:
        with suppress(OSError, ValueError):
            if os.path.samestat(there, os.stat(each)):
                raise BadInput(f"{path}: is an input of this command ({each}) and would be lost; choose another place")


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Create the folder of `path`; turn the system's refusals into `BadInput`, and remove new folders then."""
    missing = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for folder in missing:
            with suppress(OSError):  # never made, or in use
                folder.rmdir()
        if isinstance(error, OSError) and _refuses(error, path):
            reason = os.strerror(error.errno or errno.EIO)
            raise BadInput(f"{path}: cannot be written ({reason}); free space or choose another place") from error
        raise


def _refuses(error: OSError, path: Path) -> bool:
    """Whether an error means that `path` cannot be written, not that another file cannot be read."""
    here = error.filename is not None and Path(os.fsdecode(error.filename)).is_relative_to(path.parent)
    return error.errno in _UNWRITABLE or (error.errno == errno.ENOENT and here)  # /proc takes no new files


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Lock `path` for one writing process; others wait. The kernel releases the lock when its owner dies."""
    lock = path.with_name(f".{path.name}.lock")
    with writable(path):
        while True:
            handle = open(lock, "w")  # noqa: SIM115 (closed at the end)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting: another process is writing {path}", file=sys.stderr, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            # If the former owner has removed the file meanwhile, this lock is on a file that nobody else can see.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle.fileno()), os.stat(lock)):
                    break
            handle.close()
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        handle.close()


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` only if the block succeeds.

    Raises:
        BadInput: the place cannot be written.
    """
    path = Path(path)
    check_output(path)
    temporary = path.with_name(f".{path.name}.tmp")
    with writable(path), sole_writer(path):
        try:
            yield temporary
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raises `BadInput` if it is missing or damaged."""
    if not Path(path).is_file():
        raise BadInput(f"{path}: no such file")
    try:
        return json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: damaged (not JSON); remove it, and run the command that wrote it again") from error


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, as hexadecimal text."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
