"""Pictures from and to files, as uint8 RGB arrays. Sizes are checked before a pixel is decoded."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.media.files import read_bytes, write_bytes
from posert.media.headers import Header, read_header
from posert.paths import path_kind

MAX_PIXELS = 50e6
READABLE = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_ENCODING: dict[str, list[int]] = {
    ".png": [],
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 95],
    ".bmp": [],
}
WRITABLE = tuple(_ENCODING)
_LARGEST_SIDE = 1_000_000


def read_image(path: str | Path, *, max_pixels: float = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a JPEG, PNG, WebP or BMP file, upright and in colour.

    The EXIF orientation is applied. Grey becomes RGB, 16 bits become 8, CMYK becomes RGB, and transparent pixels are laid on
    white.

    Args:
        path: the file.
        max_pixels: refuse a larger picture (width x height). It is refused by its header: no memory is used for its pixels.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        InputError: the file is not there, empty, truncated, damaged, not a picture, without pixels or too large. The message
            names it.
    """
    data, header = _checked(path, max_pixels)
    return _upright(_decode(data, header, str(path)), header.orientation)


def check_image(path: str | Path, *, max_pixels: float = MAX_PIXELS) -> tuple[int, int]:
    """Refuse what `read_image` would refuse before decoding: a file that is absent, truncated, no picture or too large.

    Returns:
        Height and width of the upright picture, in pixels.

    Raises:
        InputError: as `read_image`.
    """
    header = _checked(path, max_pixels)[1]
    size = header.height, header.width
    return size if header.orientation < 5 else size[::-1]


def _checked(path: str | Path, max_pixels: float) -> tuple[bytes, Header]:
    """The bytes of a picture that is whole and not too large, and what its header says."""
    if not max_pixels > 0:
        raise InputError(f"max_pixels must be greater than 0, got {max_pixels}")
    # No format that is read stores more than 8 bytes a pixel (16-bit RGBA), apart from what surrounds the pixels.
    data = read_bytes(path, max_bytes=int(min(8 * max_pixels, 1 << 62)) + (64 << 20))
    header = read_header(data, str(path))
    size = f"{header.width} x {header.height}"
    if header.width == 0 or header.height == 0:
        raise InputError(f"{str(path)!r} has no pixels: its size is {size}")
    if header.width * header.height > max_pixels:
        raise InputError(
            f"{str(path)!r} is {size} = {header.width * header.height / 1e6:.1f} megapixels; "
            f"at most {max_pixels / 1e6:g} are read (raise the limit with max_pixels=, or --max-pixels on the command line)"
        )
    if max(header.width, header.height) > _LARGEST_SIDE or header.width * header.height > _most_pixels():
        raise InputError(
            f"{str(path)!r} is {size}; OpenCV decodes sides of at most {_LARGEST_SIDE} and {_most_pixels()} pixels "
            "(for more pixels set OPENCV_IO_MAX_IMAGE_PIXELS before the program starts)"
        )
    return data, header


def _most_pixels() -> int:
    """OpenCV's own limit, which is read when it is loaded."""
    given = os.environ.get("OPENCV_IO_MAX_IMAGE_PIXELS", "")
    return int(given) if given.isascii() and given.isdigit() else 1 << 30


def _decode(data: bytes, header: Header, name: str) -> NDArray[np.uint8]:
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # damage that only the decoder sees
        raise InputError(f"{name!r} ({header.format}) cannot be decoded: {error.err or error}") from error
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        raise InputError(
            f"{name!r} cannot be decoded: its {header.format} data are damaged or of a rare kind; save it again as PNG"
        )
    if pixels.dtype == np.uint16:
        pixels = np.asarray(pixels // 256, np.uint8)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    if pixels.shape[2] == 4:
        return _on_white(np.asarray(pixels, np.uint8))
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _on_white(bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay transparent pixels on white: a cut-out person then has a plain background instead of whatever was stored under it."""
    alpha = bgra[..., 3:].astype(np.uint16)
    rgb = bgra[..., 2::-1].astype(np.uint16)
    return np.asarray((rgb * alpha + 255 * (255 - alpha) + 127) // 255, np.uint8)


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation (EXIF 2.3, tag 0x0112)."""
    if orientation >= 5:  # rows and columns are exchanged
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def check_image_name(path: str | Path) -> None:
    """Refuse a file name whose ending names no picture format that can be written.

    Raises:
        InputError: the ending is not one of `WRITABLE`.
    """
    if Path(path).suffix.lower() not in _ENCODING:
        raise InputError(f"cannot write {str(path)!r}: a picture's name must end in one of {', '.join(WRITABLE)}")


def write_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write a picture; the format follows the ending of the name. The file appears whole or not at all.

    Args:
        path: the file, ending in one of `WRITABLE`.
        image: uint8 (H, W, 3), RGB.

    Raises:
        InputError: the ending is unknown, the array is not a picture, or the file cannot be written.
    """
    check_image_name(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"a picture must be uint8 of shape (H, W, 3), got {image.dtype} of shape {image.shape}")
    suffix = Path(path).suffix.lower()
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _ENCODING[suffix])
    except cv2.error as error:
        raise InputError(f"cannot write {str(path)!r} as {suffix[1:]}: {error.err or error}") from error
    if not done:
        raise InputError(
            f"cannot write {str(path)!r}: {image.shape[1]} x {image.shape[0]} pixels cannot be stored as {suffix[1:]}"
        )
    write_bytes(path, data.tobytes())


def list_images(folder: str | Path) -> list[Path]:
    """The pictures directly in a folder, by their endings, in the order of their names; hidden files are left out.

    Raises:
        InputError: there is no such folder, it cannot be read, or it holds no picture.
    """
    folder = Path(folder)
    if path_kind(folder) != "folder":
        raise InputError(f"there is no folder {str(folder)!r}")
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"the folder {str(folder)!r} cannot be read: {error.strerror}") from error
    named = [path for path in entries if path.suffix.lower() in READABLE and not path.name.startswith(".")]
    found = [path for path in named if path_kind(path) == "file"]
    if not found:
        raise InputError(f"the folder {str(folder)!r} holds no picture ({', '.join(READABLE)})")
    return found
