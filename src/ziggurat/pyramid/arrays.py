"""An array of a level, read when it is indexed and no sooner."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Protocol, SupportsIndex, TypeAlias

from ziggurat.model import JSON, ArrayInfo
from ziggurat.problems import MissingExtra, NotFound, UnsupportedError

if TYPE_CHECKING:
    import dask.array
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

    from ziggurat.chunkio import ChunkReader

Index: TypeAlias = "SupportsIndex | slice | EllipsisType"
Basic: TypeAlias = "Index | tuple[Index, ...]"


@dataclass(frozen=True, slots=True)
class _Selection:
    """A basic index, cut into what is read and what is done to it afterwards."""

    region: tuple[slice, ...]
    """What is read: one slice of positive step per axis."""
    after: tuple[slice | int, ...]
    """Applied to the block that was read: turns axes round (negative steps) and drops those that an integer picked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the block that is read."""
        return tuple(len(range(s.start, s.stop, s.step)) for s in self.region)


def select(index: object, shape: tuple[int, ...]) -> _Selection:
    """Returns what a basic index selects from an array of `shape`, by numpy's rules.

    Raises
    ------
    IndexError
        For an integer outside the axis, more entries than axes, a second Ellipsis, or anything but integers, slices and Ellipsis.

    Examples
    --------
    >>> select((-1, slice(None, None, -2)), (4, 5))
    _Selection(region=(slice(3, 4, 1), slice(0, 5, 2)), after=(0, slice(None, None, -1)))
    """
    entries = index if isinstance(index, tuple) else (index,)
    n_ellipses = sum(1 for entry in entries if entry is Ellipsis)
    if n_ellipses > 1:
        raise IndexError("an index holds one Ellipsis at most")
    if len(entries) - n_ellipses > len(shape):
        raise IndexError(f"too many indices: {len(entries) - n_ellipses} for an array of {len(shape)} dimensions")
    if n_ellipses == 0:
        entries = (*entries, Ellipsis)
    at = next(i for i, entry in enumerate(entries) if entry is Ellipsis)
    missing = len(shape) - (len(entries) - 1)
    full = (*entries[:at], *[slice(None)] * missing, *entries[at + 1 :])
    region: list[slice] = []
    after: list[slice | int] = []
    for axis, (entry, n) in enumerate(zip(full, shape, strict=True)):
        if isinstance(entry, slice):
            steps = range(*entry.indices(n))
            if not steps:
                region.append(slice(0, 0, 1))
            elif steps.step > 0:
                region.append(slice(steps[0], steps[-1] + 1, steps.step))
            else:
                region.append(slice(steps[-1], steps[0] + 1, -steps.step))
            after.append(slice(None, None, -1) if steps.step < 0 else slice(None))
        else:
            i = _integer(entry, axis)
            if not -n <= i < n:
                raise IndexError(f"index {i} is out of bounds for axis {axis} with size {n}")
            region.append(slice(i % n, i % n + 1, 1))
            after.append(0)
    return _Selection(tuple(region), tuple(after))


def _integer(entry: object, axis: int) -> int:
    if isinstance(entry, bool) or entry is None or not hasattr(entry, "__index__"):
        raise IndexError(f"index {entry!r} on axis {axis}: expected an integer, a slice or Ellipsis; read the array with numpy.asarray first for anything else")
    try:
        return operator.index(entry)
    except TypeError as error:
        raise IndexError(f"index of type {type(entry).__name__} on axis {axis}: expected an integer, a slice or Ellipsis") from error


class LazyArray:
    """A stored array that looks like numpy's: indexing reads the chunks that are needed, and nothing is kept.

    Takes integers, slices (of any step) and Ellipsis; `numpy.asarray` reads the whole. Thread-safe and picklable.
    """

    __slots__ = ("_info", "_location", "_open", "_reader")

    def __init__(self, info: ArrayInfo, location: str, open_reader: Callable[[], ChunkReader]) -> None:
        self._info = info
        self._location = location
        self._open = open_reader
        self._reader: ChunkReader | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._info.shape

    @property
    def ndim(self) -> int:
        return len(self._info.shape)

    @property
    def size(self) -> int:
        """Number of samples."""
        return math.prod(self._info.shape)

    @property
    def nbytes(self) -> int:
        """Decoded size in bytes."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the unit of decoding."""
        return self._info.chunks

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of what one stored object holds, None when it is the chunk."""
        return self._info.shards

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Native byte order. Raises UnsupportedError for a type that numpy does not know."""
        import numpy as np

        try:
            return np.dtype(self._info.dtype)
        except TypeError as error:
            raise UnsupportedError(
                f"{self._location}: dtype {self._info.dtype!r} has no numpy equivalent; its metadata can be read, its samples cannot"
            ) from error

    def reader(self) -> ChunkReader:
        """Returns the array for reading chunk by chunk. Raises NotFound, StorageError or UnsupportedError."""
        if self._reader is None:
            self._reader = self._open()
        return self._reader

    def __getitem__(self, index: Basic) -> NDArray[np.generic]:
        """Reads a region; only the chunks that it touches are decoded. Raises IndexError, and StorageError naming the chunk."""
        import numpy as np

        from ziggurat import chunkio

        selection = select(index, self.shape)
        if 0 in selection.shape:
            block: NDArray[np.generic] = np.empty(selection.shape, self.dtype)
        else:
            block = chunkio.read_region(self.reader(), selection.region)
        found: NDArray[np.generic] = block[selection.after]
        return found

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.generic]:
        """Reads the whole array. Raises ValueError for `copy=False`: there is nothing in memory to share."""
        import numpy as np

        if copy is False:
            raise ValueError(f"{self._location}: reading from a store always makes a copy; leave copy=False out")
        return np.asarray(self[...], dtype=dtype)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without dimensions")
        return self.shape[0]

    def to_dask(self, *, chunks: tuple[int, ...] | str | None = None) -> dask.array.Array:
        """Returns a dask array over this one; its blocks are the stored chunks unless `chunks` says otherwise (`"auto"` for larger ones).

        Raises MissingExtra without dask.
        """
        try:
            import dask.array
        except ImportError as error:
            raise MissingExtra("dask is not installed; install it with: pip install 'ziggurat[dask]'") from error
        blocks = chunks if chunks is not None else self.chunks
        return dask.array.from_array(self, chunks=blocks, fancy=False, asarray=True, meta=self._empty())

    def _empty(self) -> NDArray[np.generic]:
        import numpy as np

        return np.empty((0,) * self.ndim, self.dtype)

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return ("ziggurat", self._location, repr(self._info))

    def __reduce__(self) -> tuple[type[LazyArray], tuple[object, ...]]:
        return LazyArray, (self._info, self._location, self._open)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"<LazyArray {shape} {self._info.dtype}, chunks {' x '.join(map(str, self.chunks))}, at {self._location!r}>"


class Documented(Protocol):
    """What is known of a stored array before it is opened: a `Node`, or what was kept of one."""

    @property
    def location(self) -> str: ...

    @property
    def zarr_format(self) -> int | None: ...

    @property
    def array_document(self) -> Mapping[str, JSON] | None: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """The document of an array, kept for another process: a node may hang on a connection of this one."""

    location: str
    zarr_format: int | None
    array_document: Mapping[str, JSON] | None


@dataclass(frozen=True, slots=True)
class StoredArray:
    """How to open one array of a store for reading, here or in another process."""

    target: object
    """What `storage.open_store` takes: a path, a URL, a store."""
    path: str
    """Path of the array below `target`."""
    node: Documented
    """The array's node, whose document is read when the array is."""
    info: ArrayInfo | None = None
    """Facts, as the layout read them: its driver, and the driver's document; None for a Zarr array that no level lists."""

    def __call__(self) -> ChunkReader:
        """Returns the array's reader. Raises NotFound, StorageError or UnsupportedError."""
        from ziggurat.sources import drivers

        stated = None if self.info is None else self.info.document
        document = self.node.array_document if stated is None else stated
        if document is None:
            raise NotFound(f"{self.node.location}: no array there")
        driver = "zarr" if self.info is None else self.info.driver
        return drivers.open_array(driver, drivers.Stored(self.target, self.path, self.node.location, document, self.node.zarr_format))

    def __reduce__(self) -> tuple[type[StoredArray], tuple[object, ...]]:
        kept = _Kept(self.node.location, self.node.zarr_format, self.node.array_document)
        return StoredArray, (self.target, self.path, kept, self.info)
