"""What the bytes of a picture say about it before it is decoded: format, size, orientation, transparency, completeness.

OpenCV decodes a JPEG whose end is missing and fills the rest with grey, depending on its version, so the structure of every
file is walked here first. The walk follows ITU T.81 (JPEG), the PNG specification, RFC 9649 (WebP) and the Windows bitmap
structures. Damage that keeps the structure intact, such as a flipped byte within the compressed data of a JPEG, is not seen here.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from posert.errors import InputError


@dataclass(frozen=True)
class Header:
    """What is known about a picture before it is decoded.

    Attributes:
        format: "JPEG", "PNG", "WebP" or "BMP".
        width: pixels in a row, as stored, before `orientation` is applied.
        height: rows, as stored.
        orientation: the EXIF orientation, 1 (as stored) to 8.
        alpha: whether the pixels may be transparent.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    alpha: bool = False


class _DamageError(Exception):
    """The structure of a file is broken; the text completes "the file ..."."""


def read_header(data: bytes, name: str) -> Header:
    """Walk the structure of a JPEG, PNG, WebP or BMP file without decoding it.

    Args:
        data: the whole file.
        name: what to call the file in an error message.

    Raises:
        InputError: the file is empty, of another kind, truncated or damaged.
    """
    if not data:
        raise InputError(f"{name!r} is empty (0 bytes); a JPEG, PNG, WebP or BMP picture is needed")
    for signature, reader in _READERS.items():
        if re.match(signature, data, re.DOTALL):
            try:
                return reader(data)
            except (_DamageError, struct.error, IndexError) as error:
                reason = "ends within its header: it is truncated; get a complete copy"
                reason = str(error) if isinstance(error, _DamageError) else reason
                raise InputError(f"{name!r} cannot be used: the file {reason}") from error
    raise InputError(f"{name!r} is not a JPEG, PNG, WebP or BMP picture, whatever its name says: it begins with {data[:12]!r}")


# Within the compressed data of a JPEG, 0xFF is followed by 0 (a plain 0xFF), a restart marker D0..D7, or fill bytes.
_JPEG_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01, 0x00}


def _read_jpeg(data: bytes) -> Header:
    size: tuple[int, int] | None = None
    orientation, scans, position = 1, 0, 2
    while True:
        position = data.find(b"\xff", position) + 1
        if position == 0 or position >= len(data):
            raise _DamageError("has no end-of-image marker: it is truncated; get a complete copy")
        marker = data[position]
        if marker == 0xFF:  # a fill byte
            continue
        position += 1
        if marker in _JPEG_STANDALONE:
            continue
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise _DamageError(f"has a segment of {length} bytes: it is damaged; get another copy")
        if position + length > len(data):
            raise _DamageError("ends within a segment: it is truncated; get a complete copy")
        segment = data[position + 2 : position + length]
        position += length
        if marker in _JPEG_FRAMES and size is None:
            _, height, width = struct.unpack_from(">BHH", segment)
            size = width, height
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0") and orientation == 1:
            orientation = read_orientation(segment)
        elif marker == 0xDA:
            scans += 1
            end = _JPEG_SCAN_END.search(data, position)
            if end is None:
                raise _DamageError("has no end-of-image marker: it is truncated; get a complete copy")
            position = end.start()
    if size is None or not scans:
        raise _DamageError("holds no picture: it is truncated or damaged; get another copy")
    return Header("JPEG", *size, orientation)


def _read_png(data: bytes) -> Header:
    position, pixels, orientation, alpha = 8, 0, 1, False
    size = (0, 0)
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise _DamageError("ends within a chunk: it is truncated; get a complete copy")
        content = memoryview(data)[position + 8 : end]
        if zlib.crc32(content, zlib.crc32(kind)) != struct.unpack_from(">I", data, end)[0]:
            raise _DamageError(f"has a wrong checksum in its {kind.decode('latin-1')!r} chunk: it is damaged; get another copy")
        if position == 8:
            if kind != b"IHDR" or length != 13:
                raise _DamageError("does not begin with an IHDR chunk: it is damaged; get another copy")
            width, height, _, colour = struct.unpack_from(">IIBB", content)
            size, alpha = (width, height), colour in (4, 6)
        elif kind == b"tRNS":
            alpha = True
        elif kind == b"eXIf":
            orientation = read_orientation(bytes(content))
        elif kind == b"IDAT":
            pixels += length
        elif kind == b"IEND":
            break
        position = end + 4
    if not pixels:
        raise _DamageError("holds no pixels: it is truncated or damaged; get another copy")
    return Header("PNG", *size, orientation, alpha)


def _read_webp(data: bytes) -> Header:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if len(data) < end:
        raise _DamageError("is shorter than it says: it is truncated; get a complete copy")
    header, orientation, position = None, 1, 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        content = data[position + 8 : position + 8 + length]
        if position + 8 + length > end:
            raise _DamageError("ends within a chunk: it is truncated; get a complete copy")
        if kind in (b"ANIM", b"ANMF"):
            raise _DamageError("is an animation, and a single picture is needed: save one frame of it")
        if kind == b"EXIF":
            orientation = read_orientation(content)
        elif header is None and kind == b"VP8X":
            width = int.from_bytes(content[4:7], "little") + 1
            header = Header("WebP", width, int.from_bytes(content[7:10], "little") + 1, alpha=bool(content[0] & 0x10))
        elif header is None and kind == b"VP8L":
            bits = struct.unpack_from("<I", content, 1)[0]
            header = Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, alpha=bool(bits >> 28 & 1))
        elif header is None and kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 6)
            header = Header("WebP", width & 0x3FFF, height & 0x3FFF)
        position += 8 + length + (length & 1)
    if header is None:
        raise _DamageError("holds no picture: it is truncated or damaged; get another copy")
    return Header(header.format, header.width, header.height, orientation, header.alpha)


def _read_bmp(data: bytes) -> Header:
    start, header_size = struct.unpack_from("<II", data, 10)
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if width < 0:
        raise _DamageError(f"has a width of {width}: it is damaged; get another copy")
    height = abs(height)  # negative: rows are stored from the top
    if compression not in (0, 3, 6):
        raise _DamageError("is a compressed bitmap: save it as PNG")
    if start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise _DamageError("is shorter than its pixels: it is truncated; get a complete copy")
    return Header("BMP", width, height)


def read_orientation(exif: bytes) -> int:
    r"""The orientation in an EXIF block, 1 to 8; 1 where the block has none or is damaged.

    Args:
        exif: a TIFF structure, with or without ``Exif\0\0`` in front.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (position,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, position)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, position + 2 + 12 * entry)
            if tag == 0x0112:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


_READERS: dict[bytes, Callable[[bytes], Header]] = {
    rb"\xff\xd8\xff": _read_jpeg,
    rb"\x89PNG\r\n\x1a\n": _read_png,
    rb"RIFF....WEBP": _read_webp,
    rb"BM": _read_bmp,
}
