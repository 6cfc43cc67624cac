"""An events file written chunk by chunk, in bounded memory, that is resumed after a kill."""

import errno
import hashlib
import json
import os
import resource
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from .columns import Columns
from .errors import BadInput
from .files import check_output, sole_writer, writable

Progress = Callable[[int, int], None]


class Stream:
    """Columns of known length, filled chunk by chunk in any order by any thread, and resumed after a kill.

    The columns are contiguous and laid out when the file is created, so a chunk is plain bytes at a known place:
    memory stays at one chunk per thread, and a killed process loses only its unfinished chunks. The file gets its
    final name only when it is complete. `identity` lists everything that determines the content: an unfinished file
    of another identity is discarded.

    Args:
        path: the file to write.
        columns: names; every column is float32 `[total]`, a wide one `[total, its width]`.
        total: number of events.
        chunk: events in a chunk.
        identity: attributes of the finished file.
        units: unit of each column.
        widths: how many numbers wide columns have per event; the others have one.
        whole: the columns that are whole numbers, uint32 in place of float32.
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
        whole: Collection[str] = (),
    ) -> None:
        self.path, self.columns, self.total, self.chunk = Path(path), tuple(columns), total, chunk
        self.identity, self.units, self.whole = dict(identity), dict(units), frozenset(whole)
        self.widths = {name: (widths or {}).get(name, 1) for name in columns}
        self.part = self.path.with_name(f".{self.path.name}.part")
        self.done_path = self.path.with_name(f".{self.path.name}.done")
        self.resumed = 0

    def __enter__(self) -> Self:
        check_output(self.path)
        with ExitStack() as stack:
            stack.enter_context(writable(self.path))
            stack.enter_context(sole_writer(self.path))
            stack.push(self._remove_refused)
            self._open()
            self._stack = stack.pop_all()
        self.resumed = self.chunks - len(self.pending())
        return self

    def _remove_refused(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the unfinished file if the request cannot be met; after a kill it is kept."""
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
        """Refuse a file that does not fit on the disk now, not after hours; HDF5 would end the whole process."""
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
        """The number of chunks."""
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
                kind = h5py.h5t.STD_U32LE if name in self.whole else h5py.h5t.IEEE_F32LE
                data = h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, dcpl=plan))
                data.attrs["unit"] = self.units.get(name, "")
            for name, value in self.identity.items():
                file.attrs[name] = value

    def pending(self) -> list[int]:
        """The chunks that are not written yet."""
        flags = os.pread(self._done, self.chunks, 32)
        return [index for index, flag in enumerate(flags) if not flag]

    def write(self, index: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write one whole chunk, then mark it done; several threads may do so at once."""
        with writable(self.path):
            for name in self.columns:
                data = np.ascontiguousarray(columns[name], dtype="<u4" if name in self.whole else "<f4").tobytes()
                place = self._offsets[name] + 4 * index * self.chunk * self.widths[name]
                while data:
                    written = os.pwrite(self._data, data, place)
                    data, place = data[written:], place + written
            os.pwrite(self._done, b"\x01", 32 + index)

    def fill(self, make: Callable[[int, int], Columns], threads: int, progress: Progress) -> int:
        """Write every pending chunk with `threads` callers of `make`.

        Args:
            make: takes the first row and the number of rows of a chunk, and returns its columns.
            threads: number of concurrent callers.
            progress: called with the number of events just finished, and the number of all events.

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
            self._stack.__exit__(kind, error, trace)
