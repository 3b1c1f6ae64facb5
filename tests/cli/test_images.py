"""`posert.media`: pictures that are read right, and files that are refused before harm is done."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posert.commands.pictures import read_picture
from posert.errors import InputError
from posert.media.files import check_folder_writable, check_writable, write_bytes
from posert.media.headers import read_header, read_orientation
from posert.media.images import check_image, list_images, read_image, write_image

ENCODINGS = {
    "baseline.jpg": [],
    "progressive.jpg": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restart.jpg": [cv2.IMWRITE_JPEG_RST_INTERVAL, 2],
    "plain.png": [],
    "lossy.webp": [cv2.IMWRITE_WEBP_QUALITY, 80],
    "lossless.webp": [cv2.IMWRITE_WEBP_QUALITY, 101],
    "plain.bmp": [],
}


def picture(height: int = 37, width: int = 53) -> np.ndarray:
    """A smooth RGB picture in which every corner and every channel differs."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 127 + 100 * np.sin(x / 7 + y / 5)], -1).astype(np.uint8)


def encoded(name: str) -> bytes:
    done, data = cv2.imencode(Path(name).suffix, picture()[..., ::-1], ENCODINGS[name])
    assert done
    return data.tobytes()


def png(width: int, height: int, colour: int = 2, depth: int = 8, extra: bytes = b"", data: bytes = b"\0") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def exif(orientation: int, order: str = "<") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, orientation: int, order: str = "<") -> bytes:
    block = b"Exif\0\0" + exif(orientation, order)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_format_is_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(name))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == (37, 53, 3)
    assert image.flags.c_contiguous
    difference = np.abs(image.astype(int) - picture())
    assert difference.mean() < (0.1 if name.endswith(("png", "bmp")) else 8)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_truncation_is_refused(tmp_path, name):
    data, path = encoded(name), tmp_path / name
    whole = None
    for length in (n for n in range(len(data)) if n < 150 or n % 17 == 0 or n > len(data) - 50):
        path.write_bytes(data[:length])
        problem = None
        try:
            image = read_image(path)
        except InputError as error:
            problem = str(error)
        if problem is not None:
            assert name in problem
            assert "\n" not in problem
        else:  # only what carries no pixels may be missing
            if whole is None:
                path.write_bytes(data)
                whole = read_image(path)
            np.testing.assert_array_equal(image, whole)


def test_real_photo_truncated_anywhere(tmp_path, data_root):
    photo = next(iter(sorted((data_root / "lsp" / "images").glob("*.jpg"))))
    data, path = photo.read_bytes(), tmp_path / "photo.jpg"
    assert read_image(photo).ndim == 3
    for length in [*range(0, len(data) - 1, max(1, len(data) // 100)), len(data) - 2, len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"photo\.jpg"):
            read_image(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_never_raise_anything_else(tmp_path, data):
    name = data.draw(st.sampled_from(sorted(ENCODINGS)))
    content = bytearray(encoded(name))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / name
    path.write_bytes(bytes(content))
    try:
        image = read_image(path, max_pixels=1e6)
    except InputError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"BM"]))
def test_header_reader_survives_any_bytes(data, signature):
    try:
        header = read_header(signature + data, "any")
    except InputError:
        return
    assert header.width >= 0
    assert header.height >= 0


@given(st.binary(max_size=80))
def test_orientation_reader_survives_any_bytes(data):
    assert 1 <= read_orientation(data) <= 8
    assert 1 <= read_orientation(b"II*\0" + data) <= 8


def test_orientation_loop_is_bounded():
    assert read_orientation(b"MM\0*" + struct.pack(">IH", 8, 65535)) == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation, order):
    """The stored picture is made from the upright one by the inverse, written out case by case."""
    upright = picture(40, 64)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    jpeg = cv2.imencode(".jpg", np.ascontiguousarray(stored[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    path = tmp_path / "turned.jpg"
    path.write_bytes(with_exif(jpeg, orientation, order))
    image = read_image(path)
    assert image.shape == upright.shape
    assert check_image(path) == upright.shape[:2]
    assert np.abs(image.astype(int) - upright).mean() < 4


def test_orientation_of_png_and_webp(tmp_path):
    block = exif(6)
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    (tmp_path / "a.png").write_bytes(png(2, 1, extra=chunk, data=b"\0" + b"\xff\0\0" + b"\0\0\xff"))
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 0, 0]], [[0, 0, 255]]]
    webp = encoded("lossless.webp")
    body = webp[12:] + b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) & 1)
    assert read_header(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body, "a").orientation == 6


def test_grey_alpha_and_16_bit(tmp_path):
    grey = picture()[..., 0]
    for name, pixels, wanted in (
        ("grey.png", grey, np.repeat(grey[..., None], 3, -1)),
        ("grey16.png", grey.astype(np.uint16) * 257, np.repeat(grey[..., None], 3, -1)),
        ("rgb16.png", picture()[..., ::-1].astype(np.uint16) * 257, picture()),
        ("opaque.png", np.dstack([picture()[..., ::-1], np.full_like(grey, 255)]), picture()),
        ("opaque16.png", np.dstack([picture()[..., ::-1], np.full_like(grey, 255)]).astype(np.uint16) * 257, picture()),
        ("clear.png", np.dstack([picture()[..., ::-1], np.zeros_like(grey)]), np.full((37, 53, 3), 255)),
    ):
        assert cv2.imwrite(str(tmp_path / name), pixels)
        np.testing.assert_array_equal(read_image(tmp_path / name), wanted, err_msg=name)
    clear = np.dstack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 128, np.uint8)])
    cv2.imwrite(str(tmp_path / "half.png"), clear)
    assert (read_image(tmp_path / "half.png") == 127).all()


def test_cmyk_becomes_rgb(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow writes the CMYK file").new("CMYK", (20, 10), (0, 255, 255, 0))
    image.save(tmp_path / "ink.jpg")
    assert np.abs(read_image(tmp_path / "ink.jpg").astype(int) - (255, 0, 0)).max() < 4


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.png", b"", "empty"),
        ("notes.png", b"these are my notes, and no picture\n" * 9, "not a JPEG, PNG, WebP or BMP"),
        ("nothing.png", png(0, 5), "no pixels"),
        ("wide.png", png(20000, 5001), "100.0 megapixels"),
        ("endless.png", png(2**31 - 1, 2**31 - 1), "megapixels"),
        ("crc.png", png(4, 4).replace(b"IDAT", b"IDOT"), "checksum"),
        ("film.webp", b"RIFF\x14\0\0\0WEBPANIM\x06\0\0\0\0\0\0\0\0\0\0\0", "animation"),
        ("negative.bmp", b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, -5, 5, 1, 24, 0), "damaged"),
        ("packed.bmp", b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, 5, 5, 1, 8, 1), "compressed"),
    ],
)
def test_hostile_files(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)


def test_too_large_is_refused_without_decoding_and_the_limit_can_be_raised(tmp_path):
    jpeg = bytearray(encoded("baseline.jpg"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 10000, 10001)
    path = tmp_path / "huge.jpg"
    path.write_bytes(bytes(jpeg))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"100\.0 megapixels; at most 50 are read .*--max-pixels"):
        read_image(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes: 100 megapixels would be 300 MB"
    small = tmp_path / "small.png"
    write_image(small, picture())
    with pytest.raises(InputError, match="megapixels"):
        read_image(small, max_pixels=100)
    assert read_image(small, max_pixels=37 * 53).shape == (37, 53, 3)
    with pytest.raises(InputError, match="greater than 0"):
        read_image(small, max_pixels=float("nan"))


def test_limits_of_the_decoder_are_told(tmp_path, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(png(40_000, 40_000))
    (tmp_path / "long.png").write_bytes(png(2_000_000, 2))
    for name in ("bomb.png", "long.png"):
        with pytest.raises(InputError, match="OpenCV decodes sides of at most 1000000 and 1073741824 pixels"):
            read_image(tmp_path / name, max_pixels=float("inf"))
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "1000")
    with pytest.raises(InputError, match="and 1000 pixels"):
        read_image(tmp_path / "bomb.png", max_pixels=1e12)


def test_paths_that_are_no_picture(tmp_path):
    device = Path("/dev/zero")
    for path, words in (
        (tmp_path / "none.png", "no file"),
        (tmp_path, "a folder"),
        (device, "not a regular file"),
        ("a\0b", "a"),
    ):
        with pytest.raises(InputError, match=words):
            read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".PNG"])
def test_write_and_read_back(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_image(path, picture())
    assert np.abs(read_image(path).astype(int) - picture()).mean() < 6
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_write_refuses(tmp_path):
    for path, image, words in (
        (tmp_path / "a.gif", picture(), "must end in"),
        (tmp_path / "a", picture(), "must end in"),
        (tmp_path / "a.png", picture().astype(np.float32), "uint8"),
        (tmp_path / "a.png", picture()[:0], "uint8 of shape"),
        (tmp_path / "no" / "a.png", picture(), "cannot write"),
    ):
        with pytest.raises(InputError, match=words):
            write_image(path, image)
    assert not list(tmp_path.iterdir())


def test_writable_checks(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path, tmp_path / "no" / "a.png", tmp_path / "file" / "a.png", Path("/dev/null"), Path("/proc/a.png")):
        with pytest.raises(InputError, match="cannot write"):
            check_writable(path)
    for folder in (tmp_path / "file" / "deep" / "er", tmp_path / "file", Path("/proc/deep/er")):
        with pytest.raises(InputError, match="cannot write"):
            check_folder_writable(folder)
    check_writable(tmp_path / "new.png")
    check_writable(tmp_path / "file")
    check_folder_writable(tmp_path / "a" / "b" / "c")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    with pytest.raises(InputError, match="not a regular file"):
        write_bytes("/dev/null", b"x")


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


def test_list_images(tmp_path):
    with pytest.raises(InputError, match="holds no picture"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        list_images(tmp_path / "none")
    for name in ("b.JPG", "a.png", "c.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["a.png", "b.JPG"]


def test_refusals_are_silent(tmp_path):
    """The decoders' own words never reach the terminal, because damaged structure is seen before they are called."""
    for name in ENCODINGS:
        (tmp_path / name).write_bytes(encoded(name)[:-40])
    program = (
        "import sys\nfrom pathlib import Path\nfrom posert.errors import InputError\nfrom posert.media.images import read_image\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n    try:\n        read_image(path)\n        print('read', path)\n"
        "    except InputError:\n        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_commands_accept_padding_in_a_jpeg_and_refuse_damage(tmp_path, capfd):
    data = encoded("baseline.jpg")
    path = tmp_path / "photo.jpg"
    path.write_bytes(data[:-2] + bytes(3) + data[-2:])
    assert read_picture(path, max_pixels=1e6).shape == (37, 53, 3)
    path.write_bytes(data[:-2] + b"\x55" * 300 + data[-2:])
    with pytest.raises(InputError, match=r"photo\.jpg' is damaged .* extraneous bytes"):
        read_picture(path, max_pixels=1e6)
    assert capfd.readouterr().err == ""
    os.write(2, b"stderr is back")
    assert capfd.readouterr().err == "stderr is back"
