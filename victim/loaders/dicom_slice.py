"""One DICOM file as an 8-bit image, with a clear error if it cannot be one."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_rescale
from pydicom.pixels.utils import pixel_array

from foundation.errors import DataError
from foundation.files import sha256_bytes
from victim.loaders.pixels import Fit, Window, squared, windowed

# -1000 … 400 HU: lung parenchyma and the mediastinum with its contrast-filled vessels in one window.
CT_WINDOW: Window = (-300.0, 1400.0)

# Everything else, names and dates above all, stays unread.
_ELEMENTS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "Modality",
    "PatientID",
]

_BAD = (
    InvalidDicomError,
    OSError,
    EOFError,
    ValueError,
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    struct.error,
)


@dataclass(frozen=True)
class Slice:
    """A decoded DICOM image.

    Attributes:
        pixels: uint8 [size, size] or, in colour, [size, size, 3].
        patient_sha256: hash of PatientID, or None where the file has none.
        own_window: the window that the file itself brought, if that was used.
    """

    pixels: NDArray[np.uint8]
    patient_sha256: str | None
    own_window: Window | None


def read_slice(path: Path, *, size: int, fit: Fit = "crop", window: Window | None = None) -> Slice:
    """Read a DICOM image: rescale slope and intercept, window, MONOCHROME1 inverted, cut square and resized.

    The window is `window`; or else the file's first WindowCenter and WindowWidth; or else, for CT, -1000 … 400 HU, and
    for other modalities the whole range that the stored bits can tell. It never depends on an image's own extremes.
    Colour images have no window.

    Args:
        path: the file.
        size: side of the image made, in pixels.
        fit: `crop` the middle square, or `pad` with black.
        window: centre and width, in rescaled values (Hounsfield units for CT).

    Raises:
        DataError: empty, torn, not DICOM, without pixels, of several frames, compressed in a way that no installed
            decoder reads, or of values that are not finite.
    """
    try:
        # pydicom's warnings quote element values, and PatientID is one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _slice(path, size, fit, window)
    except DataError:
        raise
    except InvalidDicomError as error:
        raise DataError(f"{path} is not a DICOM file, or is torn at its head") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", hint="mend the table of labels") from error
    except _BAD as error:
        raise DataError(f"cannot read DICOM file {path}: {error}") from error


def _slice(path: Path, size: int, fit: Fit, window: Window | None) -> Slice:
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes)")
    file = dcmread(path, specific_tags=[*_ELEMENTS])
    patient = str(file.get("PatientID") or "").strip()
    digest = sha256_bytes(patient.encode()) if patient else None
    stored = _stored(path, file)
    if stored.ndim == 3:
        return Slice(squared(stored, size, fit), digest, None)
    values = np.asarray(apply_rescale(stored, file), np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{path} holds values that are not finite after rescaling")
    own = _own_window(file) if window is None else None
    pixels = windowed(values, window or own or _default_window(path, file))
    if file.PhotometricInterpretation == "MONOCHROME1":
        pixels = 255 - pixels
    return Slice(squared(pixels, size, fit), digest, own)


def _stored(path: Path, file: FileDataset) -> NDArray[Any]:
    if "PixelData" not in file:
        raise DataError(f"{path} holds no pixel data")
    if (frames := int(file.get("NumberOfFrames") or 1)) > 1:
        raise DataError(f"{path} has {frames} frames, not one image", hint="store each frame as a file")
    syntax = file.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not _decodable(syntax):
        raise DataError(
            f"{path} is compressed ({syntax.name}), which no installed decoder reads",
            hint="pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or decompress with gdcmconv --raw",
        )
    stored = pixel_array(file)
    grey = str(file.PhotometricInterpretation).startswith("MONOCHROME") and stored.ndim == 2
    colour = str(file.PhotometricInterpretation).startswith(("RGB", "YBR")) and stored.ndim == 3
    if not (grey or (colour and stored.dtype == np.uint8)):
        raise DataError(
            f"{path} is {file.PhotometricInterpretation} {stored.dtype} {stored.shape}, neither grey nor 8-bit colour"
        )
    return stored


def _decodable(syntax: Any) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _own_window(file: FileDataset) -> Window | None:
    stored = [file.get(key) for key in ("WindowCenter", "WindowWidth")]
    found = [np.ravel(np.asarray([] if value in (None, "") else value, np.float64))[:1] for value in stored]
    if not all(len(value) and np.isfinite(value).all() for value in found) or found[1][0] <= 0:
        return None
    return float(found[0][0]), float(found[1][0])


def _default_window(path: Path, file: FileDataset) -> Window:
    if file.get("Modality") == "CT":
        return CT_WINDOW
    bits = int(file.BitsStored)
    low = -(1 << (bits - 1)) if file.PixelRepresentation else 0
    # Through apply_rescale, not apply_modality_lut: a table's ends need not be its extremes.
    ends = apply_rescale(np.array([low, low + (1 << bits) - 1], np.float64), file)
    if not (width := float(np.ptp(ends))):
        raise DataError(f"{path}: its rescale slope makes all values one")
    return float(np.mean(ends)), width
