"""xarray's door: `xr.open_dataset(url, engine="ziggurat", level=2)`, `xr.open_datatree(url, engine="ziggurat")`, and the accessor `ds.ziggurat`.

xarray finds the engine by its entry point and imports this module when it lists engines, which also registers the accessor. After
`Pyramid.to_dataset` alone, `import ziggurat.bridges.as_xarray` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from ziggurat.problems import OptionError
from ziggurat.pyramid.datasets import ORIGIN, Decoding, Origin, dataset_of, datatree_of, is_grouped
from ziggurat.pyramid.levels import PerAxis, Pyramid
from ziggurat.pyramid.opening import open as open_pyramid


class ZigguratBackend(BackendEntrypoint):  # type: ignore[misc]  # xarray has no types that mypy is shown
    """Opens a level, or all levels, of every layout that `ziggurat.open` knows. It is never guessed: say `engine="ziggurat"`."""

    description: ClassVar[str] = "Open levels of multiscale arrays (image pyramids, overviews) of any layout with ziggurat"
    url: ClassVar[str] = ""
    supports_groups: ClassVar[bool] = True

    def open_dataset(
        self,
        filename_or_obj: object,
        *,
        mask_and_scale: bool | Mapping[str, bool] = True,
        decode_times: object = True,
        concat_characters: bool | Mapping[str, bool] = True,
        decode_coords: str | bool = "all",
        drop_variables: str | Sequence[str] | None = None,
        use_cftime: object = None,
        decode_timedelta: object = False,
        use_zarr_fill_value_as_mask: bool | None = None,
        level: int = 0,
        resolution: PerAxis | None = None,
        multiscale: int | str | None = None,
        layout: str | None = None,
        bounds: bool = False,
        allow_links: bool = False,
    ) -> xr.Dataset:
        """Returns one level as a Dataset.

        Parameters
        ----------
        filename_or_obj
            What `ziggurat.open` takes, or a `Pyramid`.
        level, resolution
            Number of the level, 0 is the base; or the sample step in world units for which `Pyramid.at` chooses one.
        multiscale, layout, allow_links
            As for `ziggurat.open`. Where none is said and levels are groups of variables, the series that has the most levels.
        bounds
            As for `Pyramid.to_dataset`.
        use_zarr_fill_value_as_mask
            Whether an array's fill value counts as missing. When not said: for Zarr v2 in the layouts of the xarray world, as xarray does.

        The other parameters are those of `xarray.open_dataset`. Raises what `ziggurat.open` and `Pyramid.to_dataset` raise.
        """
        decoding = Decoding(
            mask_and_scale, decode_times, decode_timedelta, use_cftime, concat_characters, decode_coords, drop_variables, use_zarr_fill_value_as_mask
        )
        pyramid = _opened(filename_or_obj, multiscale, layout, allow_links=allow_links)
        if resolution is not None and level != 0:
            raise OptionError(f"level={level} and resolution={resolution!r}: expected one of them; say the level, or the resolution that it is chosen by")
        index = level if resolution is None else pyramid.at(resolution=resolution).index
        return dataset_of(pyramid, index, decoding, bounds=bounds)

    def open_datatree(
        self,
        filename_or_obj: object,
        *,
        mask_and_scale: bool | Mapping[str, bool] = True,
        decode_times: object = True,
        concat_characters: bool | Mapping[str, bool] = True,
        decode_coords: str | bool = "all",
        drop_variables: str | Sequence[str] | None = None,
        use_cftime: object = None,
        decode_timedelta: object = False,
        use_zarr_fill_value_as_mask: bool | None = None,
        multiscale: int | str | None = None,
        layout: str | None = None,
        bounds: bool = False,
        allow_links: bool = False,
    ) -> xr.DataTree:
        """Returns all levels as a DataTree with children `"0"`, `"1"`, ...; parameters as for `open_dataset`."""
        decoding = Decoding(
            mask_and_scale, decode_times, decode_timedelta, use_cftime, concat_characters, decode_coords, drop_variables, use_zarr_fill_value_as_mask
        )
        return datatree_of(_opened(filename_or_obj, multiscale, layout, allow_links=allow_links), decoding, bounds=bounds)

    def guess_can_open(self, filename_or_obj: object) -> bool:
        """False: a store of levels is a store of Zarr, too, and xarray's own engines come first."""
        return False


def _opened(place: object, multiscale: int | str | None, layout: str | None, *, allow_links: bool) -> Pyramid:
    if isinstance(place, Pyramid):
        return place
    if isinstance(place, str):  # xarray makes an absolute path of a relative one, and of `~`
        place = os.path.expanduser(place) if "://" not in place else place
    pyramid = open_pyramid(place, multiscale=multiscale, layout=layout, allow_links=allow_links)
    if multiscale is None and is_grouped(pyramid.multiscale):
        return max((pyramid, *(other for other in pyramid.siblings if other.levels)), key=len)
    return pyramid


@xr.register_dataset_accessor("ziggurat")
class DatasetAccessor:
    """`ds.ziggurat`: the pyramid that a Dataset is a level of, and its other levels."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def _origin(self) -> Origin:
        found = self._dataset.encoding.get(ORIGIN)
        if not isinstance(found, Origin):
            raise OptionError(
                "this Dataset does not know its pyramid (it was not opened with engine='ziggurat', or was computed from one that was); "
                "open the store with ziggurat.open and take Pyramid.to_dataset"
            )
        return found

    @property
    def pyramid(self) -> Pyramid:
        """The pyramid that this Dataset was opened from. Raises OptionError where there is none."""
        return self._origin().pyramid

    @property
    def level(self) -> int:
        """Number of the level; 0 is the base."""
        return self._origin().index

    def to_level(self, level: int) -> xr.Dataset:
        """Returns another level of the same pyramid, opened in the same way. Raises OptionError when there is no such level."""
        origin = self._origin()
        return dataset_of(origin.pyramid, level, origin.decoding, bounds=origin.bounds)

    def at(self, *, resolution: PerAxis | None = None, shape: PerAxis | None = None, max_bytes: int | None = None, factor: PerAxis | None = None) -> xr.Dataset:
        """Returns the level for a need; say exactly one, as for `Pyramid.at`."""
        return self.to_level(self.pyramid.at(resolution=resolution, shape=shape, max_bytes=max_bytes, factor=factor).index)
