"""Columns of events in HDF5: read with clear errors, written atomically, streamed in bounded memory."""

import errno
import fcntl
import hashlib
import json
import math
import os
import resource
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from .columns import Columns as Columns
from .damage import check_heaps, check_regular, kind
from .damage import undamaged as undamaged
from .errors import BadInput

_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_UNWRITABLE |= {errno.EISDIR, errno.ENOTDIR, errno.EEXIST}  # a folder or a file in the way
_UNWRITABLE |= {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}  # not a name
_PLAIN = {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM}  # classes of attributes
_LONGEST_NAME = 200  # bytes; what stands beside a file while it is written has a longer one


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a place for an output before any work is done for it; nothing is written.

    Args:
        path: the file to be written.
        inputs: files that are read for it. They are compared by what they are, not by what they are called.

    Raises:
        BadInput: not a name for a file, something there that is not a regular file, or one of the inputs.
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
    for given in inputs:
        with suppress(OSError, ValueError):
            if os.path.samestat(there, os.stat(given)):
                raise BadInput(f"{path}: is an input of this command ({given}) and would be lost; choose another place")


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into `BadInput`; folders made for it then go again."""
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
    """Whether an error says that `path` cannot be written, not that something else cannot be read."""
    here = error.filename is not None and Path(os.fsdecode(error.filename)).is_relative_to(path.parent)
    return error.errno in _UNWRITABLE or (error.errno == errno.ENOENT and here)  # /proc takes no new files


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold `path` for one writing process; a second one waits. The kernel frees it when its owner dies."""
    lock = path.with_name(f".{path.name}.lock")
    with writable(path):
        while True:
            handle = open(lock, "w")  # noqa: SIM115 (held until the end)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting: another process is writing {path}", file=sys.stderr, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            # The former owner removed the file it had locked: then this lock is on a file nobody else can see.
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


@contextmanager
def new_file(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill; it appears at `path` only if the block succeeds.

    It is held in memory until then: HDF5 ends the whole process where the disk is full before it has closed a file.

    Raises:
        BadInput: the place cannot be written.
    """
    with atomic(path) as temporary:
        with h5py.File(temporary, "w", driver="core", backing_store=False, block_size=2**20) as file:
            yield file
            file.flush()
            image = file.id.get_file_image()
        temporary.write_bytes(image)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path: str | Path) -> Any:
    """Read what `write_json` wrote; raises `BadInput` where there is no such file, or a damaged one."""
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


@contextmanager
def opened(path: str | Path, group: str = "/") -> Iterator[h5py.Group]:
    """Open one group of an HDF5 file for reading.

    Raises:
        BadInput: no such file, one that is not HDF5, no such group, or damage, be it that the block comes upon it.
    """
    check_regular(path)
    check_heaps(str(path), os.stat(path).st_mtime_ns)
    with undamaged(path):
        try:
            handle = h5py.File(path, "r")
        except BlockingIOError:
            raise BadInput(f"{path}: another program is writing it; wait until that has finished") from None
        except OSError:
            if not kind(path):
                raise
            raise BadInput(
                f"{path}: {kind(path)}, not HDF5; write its columns to an HDF5 file, or fetch it again"
            ) from None
        with handle:
            node = handle[group] if group in handle else None  # noqa: SIM401 (`get` would hide damage)
            if not isinstance(node, h5py.Group):
                raise BadInput(f"{path}: no group '{group}' (it has: {listed(handle)})")
            yield node


def read(path: str | Path, columns: Sequence[str], group: str = "/", rows: slice = slice(None)) -> Columns:
    """Read columns of events as float32 arrays `[N]` (wide columns `[N, …]`), all finite and of equal length.

    Raises:
        BadInput: a column is missing, not numeric, of another length, damaged, larger than the memory, or holds NaN or
            infinity.
    """
    with opened(path, group) as node:
        found = datasets(node, columns, path)
        _check_room(found, rows, path)
        return {name: column(data, name, path, rows) for name, data in found.items()}


def column(data: h5py.Dataset, name: str, path: str | Path, rows: slice = slice(None)) -> NDArray[np.float32]:
    """Rows of one of `datasets`, as `read` gives them; raises `BadInput` as `read` does."""
    with undamaged(path, f"column {name!r} "):
        values = as_float32(data[rows])
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(values), -1).all(axis=1))) + (rows.start or 0)
        bad = int((~finite).sum())
        raise BadInput(
            f"{path}: column {name!r} holds {bad} NaN or infinite values (first: row {row}); drop those events"
        )
    return values


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Refuse what takes more bytes than this machine has memory, before allocating it; raises `BadInput`."""
    held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > held:
        raise BadInput(f"{what} take {needed / 1e9:.3g} GB, and there are {held / 1e9:.3g} GB of memory; {remedy}")


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values as float32; what that cannot hold becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def count(node: h5py.Group, columns: Sequence[str], path: str | Path) -> int:
    """The common length of `columns` in `node`, checked; raises `BadInput` as `read` does."""
    return next((data.shape[0] for data in datasets(node, columns, path).values()), 0)


def datasets(node: h5py.Group, columns: Sequence[str], path: str | Path) -> dict[str, h5py.Dataset]:
    """The datasets of `columns` in `node`, checked but for their values; raises `BadInput` as `read` does."""
    found = {}
    for name in columns:
        data = item(node, name)
        if not isinstance(data, h5py.Dataset):
            if is_pandas(node):
                raise BadInput(f"{path}: a pandas store, and no dataset a column; write each column as a dataset")
            held = listed(name for name, each in items(node).items() if isinstance(each, h5py.Dataset))
            raise BadInput(f"{path}: no column {name!r} in '{node.name}' (columns there: {held})")
        wrong = fault(data)
        if wrong:
            raise BadInput(f"{path}: column {name!r} {wrong}")
        found[name] = data
    if len({data.shape[0] for data in found.values()}) > 1:
        lengths = listed(f"{name} {data.shape[0]}" for name, data in found.items())
        raise BadInput(f"{path}: columns of unequal length: {lengths}")
    return found


def items(node: h5py.Group) -> dict[str, h5py.HLObject | None]:
    """What stands in a group by its name; None for what `item` does not give."""
    return {_text(name): item(node, name) for name in node}


def item(node: h5py.Group, name: str) -> h5py.HLObject | None:
    """What a group holds by a name; None for nothing, and for a link that leads nowhere or to another file."""
    # Names that are not UTF-8 come as bytes, and h5py opens nothing by them.
    known = isinstance(name, str) and name.strip(".") and not {"/", "\0"} & set(name)
    link = node.get(name, getlink=True) if known else None
    if link is None or isinstance(link, h5py.ExternalLink):
        return None
    if not isinstance(link, h5py.SoftLink):
        return node[name]
    try:
        found = node[name]
    except (KeyError, OSError, RuntimeError):  # nothing there, or links in a circle
        return None
    return found if h5py.h5f.get_name(found.id) == h5py.h5f.get_name(node.id) else None


def is_pandas(node: h5py.Group) -> bool:
    """Whether pandas wrote a file, and so its columns are no datasets of their own."""
    return any(isinstance(each, h5py.Group) and "pandas_type" in each.attrs for each in items(node).values())


def fault(data: h5py.Dataset) -> str:
    """Why a dataset cannot be a column of events; "" if it can."""
    if not data.shape or data.dtype.kind not in "fiub":
        return f"is not an array of numbers (type {data.dtype}, shape {data.shape})"
    return unstored(data)


def unstored(data: h5py.Dataset) -> str:
    """Why a dataset's values are not all in its file; "" if they are."""
    plan = data.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        return "has its values in other files; write them into this one"
    if math.prod(data.shape) and data.id.get_space_status() != h5py.h5d.SPACE_STATUS_ALLOCATED:
        return f"has {data.shape[0]} rows, but not all of them were ever written; write the file again"
    if data.fletcher32:  # HDF5 crashes where a chunk has no room for its checksum of four bytes
        sizes: list[int] = []
        data.id.chunk_iter(lambda chunk: sizes.append(chunk.size))
        if min(sizes, default=4) < 4:
            return "has chunks without a checksum; it is damaged, fetch or write the file again"
    return ""


def attribute(node: h5py.HLObject, name: str) -> Any:
    """An attribute as text, number, truth value, or a list of these; None if there is none, or of another type.

    Text may be stored in any way. What is not UTF-8 in it becomes lone surrogates, which are not printable.
    """
    if name not in node.attrs:
        return None
    if node.attrs.get_id(name).get_type().get_class() not in _PLAIN:
        return None  # also because HDF5 may crash on other types where they come from damage
    value = node.attrs[name]
    if isinstance(value, h5py.Empty):
        return "" if value.dtype.kind in "SO" else None
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return [_text(each) for each in value] if isinstance(value, list) else _text(value)


def attributes(node: h5py.HLObject) -> dict[str, Any]:
    """All attributes of those types."""
    found = {name: attribute(node, name) for name in node.attrs if isinstance(name, str)}
    return {name: value for name, value in found.items() if value is not None}


def unit(data: h5py.Dataset, name: str, path: str | Path) -> str:
    """The unit of a column; "" if it names none. Raises `BadInput` if it is not a text of one line."""
    found = attribute(data, "unit") if "unit" in data.attrs else ""
    if not isinstance(found, str) or not found.isprintable():
        raise BadInput(f"{path}: column {name!r} has an attribute 'unit' that is not a text; write it as one")
    return found


def listed(names: Iterable[str], most: int = 20) -> str:
    """Names for a message of one line; the first of them, where there are many."""
    held = [repr(name)[1:-1] for name in names]
    return ", ".join(held[:most] + ["…"] * (len(held) > most)) or "nothing"


def write(group: h5py.Group, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str] | None = None) -> None:
    """Write columns of one length into an open group, each with its unit."""
    for name, values in columns.items():
        # Voxels are mostly zero.
        wide = values.ndim > 1 and len(values)
        packed = {"compression": "lzf", "chunks": (min(len(values), 1000), *values.shape[1:])} if wide else {}
        data = group.create_dataset(name, data=values, **packed)
        if units and name in units:
            data.attrs["unit"] = units[name]


def _check_room(found: Mapping[str, h5py.Dataset], rows: slice, path: str | Path) -> None:
    """Check the memory for all columns as float32, and beside them one as it is stored."""
    numbers = {
        name: len(range(*rows.indices(each.shape[0]))) * math.prod(each.shape[1:]) for name, each in found.items()
    }
    stored = max((number * found[name].dtype.itemsize for name, number in numbers.items()), default=0)
    check_memory(4 * sum(numbers.values()) + stored, f"{path}: its events", "give fewer")


def _text(value: Any) -> Any:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value


def in_window(mass: NDArray[Any], window: Sequence[float]) -> NDArray[np.bool_]:
    """Which masses lie strictly inside the signal region; compared in float32, as they are stored."""
    low, high = (np.float32(edge) for edge in window)
    return (mass > low) & (mass < high)


class Stream:
    """Columns of known length, filled chunk by chunk in any order by any thread, resumed after a kill.

    The columns are contiguous and laid out when the file is made, so each chunk is plain bytes at a known place:
    memory stays at one chunk a thread, and a killed process loses only the chunks it had not finished. The file
    bears its final name only when complete. `identity` says what the content is a function of: a part file of
    another identity is started anew.

    Args:
        path: the file to write.
        columns: names; every column is float32 `[total]`, a wide one `[total, its width]`.
        total: number of events.
        chunk: events a chunk.
        identity: attributes of the finished file.
        units: unit of each column.
        widths: numbers an event of wide columns; one of the others.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str],
        total: int,
        chunk: int,
        identity: Mapping[str, Any],
        units: Mapping[str, str],
        widths: Mapping[str, int] | None = None,
    ) -> None:
        self.path, self.columns, self.total, self.chunk = Path(path), tuple(columns), total, chunk
        self.identity, self.units = dict(identity), dict(units)
        self.widths = {name: (widths or {}).get(name, 1) for name in columns}
        self.part = self.path.with_name(f".{self.path.name}.part")
        self.done_path = self.path.with_name(f".{self.path.name}.done")
        self.resumed = 0

    def __enter__(self) -> Self:
        check_output(self.path)
        with ExitStack() as held:
            held.enter_context(writable(self.path))
            held.enter_context(sole_writer(self.path))
            held.push(self._remove_refused)
            self._open()
            self._held = held.pop_all()
        self.resumed = self.chunks - len(self.pending())
        return self

    def _remove_refused(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing of a file that cannot be made as it was asked for; a killed one is gone on with."""
        if isinstance(error, BadInput | OSError):
            self.part.unlink(missing_ok=True)
            self.done_path.unlink(missing_ok=True)

    def _open(self) -> None:
        with writable(self.path):
            key = json.dumps([self.identity, self.columns, self.total, self.chunk], sort_keys=True, default=str)
            tag = hashlib.sha256(key.encode()).digest()
            done = self.done_path.read_bytes() if self.part.exists() and self.done_path.exists() else b""
            if not (done[:32] == tag and len(done) == len(tag) + self.chunks):
                self.done_path.unlink(missing_ok=True)
                self._check_space()
                self._lay_out()
                self.done_path.write_bytes(tag + bytes(self.chunks))
            with h5py.File(self.part, "r") as file:
                self._offsets = {name: file[name].id.get_offset() for name in self.columns} if self.total else {}
            self._data, self._done = os.open(self.part, os.O_RDWR), os.open(self.done_path, os.O_RDWR)

    def _check_space(self) -> None:
        """Refuse what the disk cannot hold, now rather than after hours; HDF5 would end the whole process."""
        needed = 4 * self.total * sum(self.widths.values()) + 2**16
        disk = os.statvfs(self.path.parent)
        free = disk.f_bavail * disk.f_frsize
        if needed > free:
            raise BadInput(
                f"{self.path}: cannot be written (it needs {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free); "
                "free space or choose another place"
            )
        if 0 <= resource.getrlimit(resource.RLIMIT_FSIZE)[0] < needed:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self.path))

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.total // self.chunk)

    def _lay_out(self) -> None:
        with h5py.File(self.part, "w") as file:
            for name in self.columns:
                plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
                width = self.widths[name]
                space = h5py.h5s.create_simple((self.total,) if width == 1 else (self.total, width))
                plan.set_obj_track_times(False)  # so that equal content is equal bytes
                data = h5py.Dataset(h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, dcpl=plan))
                data.attrs["unit"] = self.units.get(name, "")
            for name, value in self.identity.items():
                file.attrs[name] = value

    def pending(self) -> list[int]:
        """Chunks not written yet."""
        flags = os.pread(self._done, self.chunks, 32)
        return [index for index, flag in enumerate(flags) if not flag]

    def write(self, index: int, columns: Mapping[str, NDArray[np.float32]]) -> None:
        """Store one whole chunk, then mark it done; safe from several threads."""
        with writable(self.path):
            for name in self.columns:
                data = np.ascontiguousarray(columns[name], dtype="<f4").tobytes()
                place = self._offsets[name] + 4 * index * self.chunk * self.widths[name]
                while data:
                    written = os.pwrite(self._data, data, place)
                    data, place = data[written:], place + written
            os.pwrite(self._done, b"\x01", 32 + index)

    def fill(self, make: Callable[[int, int], Columns], threads: int, progress: Callable[[int, int], None]) -> int:
        """Write every pending chunk with `threads` callers of `make`.

        Args:
            make: from the first row and the number of rows of a chunk to its columns.
            threads: concurrent callers.
            progress: told how many events have just finished, and how many there are in all.

        Returns:
            The number of events made now.
        """
        progress(min(self.total, self.resumed * self.chunk), self.total)

        def one(index: int) -> int:
            start = index * self.chunk
            size = min(self.chunk, self.total - start)
            self.write(index, make(start, size))
            return size

        made = 0
        with ThreadPoolExecutor(threads) as pool:
            try:
                for size in pool.map(one, self.pending()):
                    made += size
                    progress(size, self.total)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self.pending():
                    raise RuntimeError(f"{self.path}: {len(self.pending())} chunks were never written")
                os.fsync(self._data)
                os.replace(self.part, self.path)
                self.done_path.unlink()
        finally:
            os.close(self._data)
            os.close(self._done)
            self._held.__exit__(kind, error, trace)
