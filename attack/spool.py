"""Images that do not fit the thief's memory: a million of 64 x 64 pixels are 4 GB, on disk instead."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError, UsageError


class ImageSpool:
    """Images one after another in a file without a name, gone with the spool or with the process, also if killed.

    Written past this process's memory, and read through a mapping: what is touched lies in the system's file cache,
    which gives it up when memory is wanted.

    Args:
        directory: on whose disk; it is made if need be.

    Raises:
        UsageError: no file can be made there.
    """

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise UsageError(f"cannot keep images in {directory}: {error.strerror or error}") from error
        self._directory = directory
        self._shape: tuple[int, ...] = (0, 0, 0)
        self._count = 0
        self._mapped: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        """How many images."""
        return self._count

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add images at the end, all or none.

        Args:
            images: uint8 [N, H, W, C], all of one shape for as long as the spool lasts.

        Raises:
            DataError: images of another shape or dtype, or the disk is full; the images before stay.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or (self._count and images.shape[1:] != self._shape):
            meant = self._shape if self._count else ("H", "W", "C")
            raise DataError(
                f"images {images.dtype} {images.shape} where uint8 (N, {', '.join(map(str, meant))}) are due"
            )
        if not images.size:
            return
        start = self._count * images[0].size
        try:
            self._write(np.ascontiguousarray(images).reshape(-1).data, start)
        except OSError as error:
            self._file.truncate(start)
            raise DataError(
                f"{len(images)} images, {images.nbytes >> 10} KiB, cannot be kept in {self._directory}: "
                f"{error.strerror}",
                hint=f"the {self._count} images before these are kept; make room on that disk",
            ) from error
        self._shape = images.shape[1:]
        self._count += len(images)
        self._mapped = None

    @property
    def images(self) -> NDArray[np.uint8]:
        """All images so far, uint8 [N, H, W, C], read-only and not in memory; it outlives later appends and `close`."""
        if not self._count:
            return np.empty((0, *self._shape), np.uint8)
        if self._mapped is None:
            mapped = mmap.mmap(self._file.fileno(), self._count * int(np.prod(self._shape)), prot=mmap.PROT_READ)
            self._mapped = np.frombuffer(mapped, np.uint8).reshape(-1, *self._shape)
        return self._mapped

    def close(self) -> None:
        """Give the disk space back, once no view of the images is left; closing twice does no harm."""
        self._mapped = None
        self._file.close()

    def __enter__(self) -> ImageSpool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, content: memoryview, start: int) -> None:
        self._file.seek(start)
        while content:
            content = content[self._file.write(content) :]
