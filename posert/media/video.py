"""Videos from files, frame by frame, upright, as uint8 RGB arrays with their times. Sizes are checked before a frame is decoded.

PyAV (FFmpeg) reads them: it knows what OpenCV's reader does not, the time of every frame where the rate varies, and pixels that
are not square.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posert.errors import InputError
from posert.extras import require
from posert.paths import path_kind
from posert.types import Image

MAX_PIXELS = 50e6
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
_FRAMES_BETWEEN = 64  # most frames that are decoded to get from a key frame to a time that was asked for
_LOST = 0.02  # share of the frames that a file may promise but not hold: edit lists cut some off
_FASTEST = 240.0


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        time: in seconds from the first frame, ascending.
        image: uint8 (H, W, 3), RGB.
    """

    time: float
    image: Image


class VideoReader:
    """A video file, checked.

    Attributes:
        path: of the file.
        size: height and width of a frame in pixels, upright and with square pixels.
        rate: frames a second, on average.
        count: how many frames there are, or None; an estimate where only MP4's index would be exact.
    """

    def __init__(self, path: str | Path, *, max_pixels: float = MAX_PIXELS) -> None:
        """Look at a file: nothing is decoded but its first frame.

        Args:
            path: an MP4, MOV, Matroska, WebM or AVI file.
            max_pixels: refuse larger frames (width x height).

        Raises:
            InputError: the file is not there, not a video, truncated, without frames, or its frames are too large.
            MissingDependency: PyAV is not installed.
        """
        if not max_pixels > 0:
            raise InputError(f"max_pixels must be greater than 0, got {max_pixels}")
        self.path, self._max_pixels = Path(path), max_pixels
        with open_container(self.path) as container:
            stream = self._stream(container)
            self._check_complete(stream)
            self.rate = _rate(stream)
            self._exact = "mp4" in container.format.name and stream.frames > 0
            seconds = (container.duration or 0) / 1e6
            self.count: int | None = stream.frames if self._exact else round(seconds * self.rate) or None
            first = next(self._decode(container, stream), None)
            if first is None:
                raise InputError(f"{str(path)!r} holds no frame that can be decoded; get another copy")
            self.size: tuple[int, int] = _upright(first[1], stream.sample_aspect_ratio).shape[:2]

    def frames(self, limit: int | None = None) -> Iterator[Frame]:
        """All frames, or the first `limit`, one at a time.

        Raises:
            InputError: a frame is damaged or too large, or the file ends before the last of its frames.
        """
        decoded = 0
        with open_container(self.path) as container:
            stream = self._stream(container)
            for time, frame in self._decode(container, stream):
                yield Frame(time, _upright(frame, stream.sample_aspect_ratio))
                decoded += 1
                if decoded == limit:
                    return
        if self._exact and self.count is not None and decoded < math.floor((1 - _LOST) * self.count) - 1:
            raise InputError(f"{str(self.path)!r} is truncated: {decoded} of its {self.count} frames are there; get another copy")

    def sample(self, count: int, limit: int | None = None) -> list[Image]:
        """Up to `count` frames, spread evenly over the video or over its first `limit` frames.

        Where the file cannot be searched, they are its first ones.

        Raises:
            InputError: as `frames`.
        """
        total = min(self.count or count, limit or (1 << 62))
        places = spread(total, count)
        if total <= count * _FRAMES_BETWEEN:
            return self._in_order(places)
        images = []
        with open_container(self.path) as container:
            stream = self._stream(container)
            for place in places:
                images.append(self._near(container, stream, place / self.rate))
        return [image for image in images if image is not None] or self._in_order(list(range(count)))

    def _in_order(self, places: list[int]) -> list[Image]:
        """The frames of these numbers, ascending: all are decoded up to the last, but only these become pictures."""
        images, wanted = [], set(places)
        with open_container(self.path) as container:
            stream = self._stream(container)
            for number, (_, frame) in enumerate(self._decode(container, stream)):
                if number in wanted:
                    images.append(_upright(frame, stream.sample_aspect_ratio))
                if len(images) == len(places):
                    break
        return images

    def _near(self, container: Any, stream: Any, seconds: float) -> Image | None:
        """A frame at about that time: the first at or after it, if it does not lie too far behind a key frame."""
        av = require("av", "reading videos")
        last: Any = None
        try:
            container.seek(int(seconds / stream.time_base) + (stream.start_time or 0), stream=stream)
            for number, (time, frame) in enumerate(self._decode(container, stream, absolute=True)):
                last = frame
                if time >= seconds or number >= _FRAMES_BETWEEN:
                    break
        except (av.FFmpegError, InputError):  # what is damaged will be told when all frames are read
            return None
        return None if last is None else _upright(last, stream.sample_aspect_ratio)

    def _stream(self, container: Any) -> Any:
        """The video's stream, if its frames are not too large; its decoder may use several threads."""
        if not container.streams.video:
            raise InputError(f"{str(self.path)!r} holds no video stream; a video is needed")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise InputError(f"{str(self.path)!r} is in a format that PyAV cannot decode; save it as H.264 in an .mp4 file")
        self._check_size(stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.options = {"max_pixels": str(int(min(self._max_pixels, 1 << 31)))}
        stream.thread_type = "AUTO"
        return stream

    def _check_size(self, width: int, height: int) -> None:
        if width <= 0 or height <= 0:
            raise InputError(f"{str(self.path)!r} has no pixels: its size is {width} x {height}")
        if width * height > self._max_pixels:
            raise InputError(
                f"{str(self.path)!r} has frames of {width} x {height} = {width * height / 1e6:.1f} megapixels; at most "
                f"{self._max_pixels / 1e6:g} are read (raise the limit with max_pixels=, or --max-pixels on the command line)"
            )

    def _check_complete(self, stream: Any) -> None:
        """Refuse a file whose index leads beyond its end, before the work and not after it."""
        entries = getattr(stream, "index_entries", None)
        if not entries:
            return
        last = entries[len(entries) - 1]
        size = self.path.stat().st_size
        if last.pos + last.size > size:
            raise InputError(
                f"{str(self.path)!r} is truncated: its last frame lies beyond its {size:,} bytes; get a complete copy"
            )

    def _decode(self, container: Any, stream: Any, *, absolute: bool = False) -> Iterator[tuple[float, Any]]:
        """PyAV's frames with ascending times, from the first frame's or (absolute) from the stream's own start."""
        av = require("av", "reading videos")
        start: float | None = (stream.start_time or 0) * float(stream.time_base) if absolute else None
        last = -math.inf
        packets = container.demux(stream)
        number = 0
        while True:
            try:
                frames = next(packets).decode()
            except (StopIteration, av.EOFError):
                return
            except (av.FFmpegError, MemoryError) as error:
                raise InputError(
                    f"{str(self.path)!r} is damaged or truncated: frame {number} cannot be decoded ({error})"
                ) from error
            for frame in frames:
                self._check_size(frame.width, frame.height)
                time = frame.time if frame.time is not None else max(last, 0.0) + 1 / self.rate
                start = time if start is None else start
                time -= start
                if time > last:
                    yield time, frame
                    last, number = time, number + 1


def spread(total: int, count: int) -> list[int]:
    """The numbers of up to `count` frames, ascending, spread evenly over `total`."""
    return [int((place + 0.5) * total / count) for place in range(count)] if total > count else list(range(total))


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """A video file that PyAV has opened. It can neither be a play list nor lead to other files or to the network.

    Raises:
        InputError: it is not there, not a regular file, or not a video.
        MissingDependency: PyAV is not installed.
    """
    av = require("av", "reading videos")
    kind = path_kind(path)
    if kind != "file":
        found = "there is no file" if kind is None else "a video file is needed, but this is a folder or a device:"
        raise InputError(f"{found} {str(path)!r}")
    if path.stat().st_size == 0:
        raise InputError(f"{str(path)!r} is empty (0 bytes); a video is needed")
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        container = av.open(str(path.resolve()), container_options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{str(path)!r} cannot be opened as an MP4, MOV, Matroska, WebM or AVI video: it is truncated, damaged or of another "
            "kind; get a complete copy"
        ) from error
    with container:
        yield container


def _rate(stream: Any) -> float:
    """Frames a second: 25 where the file says nothing that can be believed."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= _FASTEST:
            return float(rate)
    return 25.0


def _upright(frame: Any, aspect: Fraction | None) -> Image:
    """A frame as RGB, with square pixels, turned as the file says."""
    image = frame.to_ndarray(format="rgb24")
    if aspect is not None and 0.1 < aspect < 10 and aspect != 1:
        width = max(1, round(image.shape[1] * float(aspect)))
        image = cv2.resize(image, (width, image.shape[0]), interpolation=cv2.INTER_AREA if aspect < 1 else cv2.INTER_LINEAR)
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(image, turns))
