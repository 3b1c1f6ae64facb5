"""Videos into files, as H.264 that browsers play, with the sound of another video. A file appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from posert.errors import InputError, MissingDependency
from posert.extras import require
from posert.media.files import check_writable, staged_file
from posert.media.video import open_container
from posert.types import Image

WRITABLE = (".mp4",)
LARGEST_SIDE = 4096
"""In pixels: beyond it, many players have no decoder."""

_TICKS = 90_000  # a second: every frame keeps the time it had
_ENCODERS = {"libx264": {"crf": "18", "preset": "fast"}, "libopenh264": {"b": "4M"}}
_COPIED = ("aac", "mp3", "opus")  # sound that browsers play from an .mp4 file; other sound is encoded as AAC
_BT709 = 1


def check_video_name(path: str | Path) -> None:
    """Refuse a file name that is not one of a video that can be written.

    Raises:
        InputError: its ending is not .mp4.
    """
    if Path(path).suffix.lower() not in WRITABLE:
        raise InputError(f"cannot write {str(path)!r}: a video's name must end in {', '.join(WRITABLE)}")


class VideoWriter(AbstractContextManager["VideoWriter"]):
    """Writes a video; to be used in a `with` block, at whose end the file appears. If the block raises, it does not.

    Attributes:
        sound: what became of the sound: ``"copied"``, ``"encoded as AAC"``, ``"none"``, or what is wrong with it.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], rate: float, *, sound_of: str | Path | None = None) -> None:
        """Check what can be checked before any work.

        Args:
            path: a file that ends in .mp4.
            size: height and width in pixels. Odd ones grow by a pixel, which H.264 in browsers' colours needs.
            rate: frames a second, on average.
            sound_of: a video whose sound goes along, if it has any.

        Raises:
            InputError: the name, folder or size cannot be used.
            MissingDependency: PyAV is not installed, or has no H.264 encoder.
        """
        check_video_name(path)
        check_writable(path)
        if not 0 < min(size) <= max(size) <= LARGEST_SIDE:
            raise InputError(f"a video must have sides of 1 to {LARGEST_SIDE} pixels, got {size[1]} x {size[0]}")
        av = require("av", "writing videos")
        self._encoder = next((name for name in _ENCODERS if name in av.codecs_available), "")
        if not self._encoder:
            raise MissingDependency(f"this PyAV has none of the H.264 encoders {', '.join(_ENCODERS)}: pip install -U av")
        self.sound = "none"
        self._path, self._size, self._rate, self._sound_of = Path(path), size, rate, sound_of
        self._last = -1
        self._stack = ExitStack()

    def __enter__(self) -> VideoWriter:
        av = require("av", "writing videos")
        with ExitStack() as stack:
            temporary = stack.enter_context(staged_file(self._path))
            options = {"movflags": "+faststart"}  # the index comes first, so that browsers begin before they have all of it
            self._container: Any = stack.enter_context(av.open(str(temporary), "w", format="mp4", options=options))
            self._stream = self._add_stream()
            self._audio = _Sound(self._container, stack, Path(self._sound_of)) if self._sound_of is not None else None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        av = require("av", "writing videos")
        if error is None:
            try:
                self._finish()
                try:
                    self._container.close()  # writes the index
                except (av.FFmpegError, OSError) as refusal:
                    raise self._refused(refusal) from refusal
            except BaseException as problem:
                self._stack.__exit__(type(problem), problem, problem.__traceback__)
                raise
        self._stack.__exit__(kind, error, trace)

    def write(self, image: Image, time: float) -> None:
        """Add a frame.

        Args:
            image: uint8 (H, W, 3), RGB, of the video's size.
            time: in seconds; times ascend.

        Raises:
            InputError: the image has another size, or the file cannot be written.
        """
        av = require("av", "writing videos")
        if image.dtype != np.uint8 or image.shape != (*self._size, 3):
            raise InputError(f"a frame must be uint8 of shape {(*self._size, 3)}, got {image.dtype} of shape {image.shape}")
        odd = tuple((0, side % 2) for side in self._size)
        frame = av.VideoFrame.from_ndarray(np.pad(image, (*odd, (0, 0)), "edge"), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        self._last = max(self._last + 1, round(time * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._encode(frame)
        if self._audio is not None:
            self._audio.write_until(time)

    def _add_stream(self) -> Any:
        rate = Fraction(self._rate).limit_denominator(1001)
        stream = self._container.add_stream(self._encoder, rate=rate, options=_ENCODERS[self._encoder])
        context = stream.codec_context
        context.height, context.width = (side + side % 2 for side in self._size)
        context.pix_fmt, context.time_base = "yuv420p", Fraction(1, _TICKS)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        return stream

    def _encode(self, frame: Any) -> None:
        """Encode a frame, or what the encoder still holds, and write what comes out."""
        av = require("av", "writing videos")
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> InputError:
        return InputError(f"cannot write {str(self._path)!r}: {getattr(error, 'strerror', None) or error}")

    def _finish(self) -> None:
        if self._last < 0:
            raise InputError(f"cannot write {str(self._path)!r}: it would hold no frame")
        self._encode(None)
        if self._audio is not None:
            self._audio.write_until(self._last / _TICKS + 1 / self._rate)
            self._audio.finish()
            self.sound = self._audio.said


class _Sound:
    """The sound of a video, written into another beside its frames, so that neither waits for the other in memory.

    Damage ends the sound and not the video; `said` tells.
    """

    def __init__(self, container: Any, stack: ExitStack, path: Path) -> None:
        self._container = container
        source = stack.enter_context(open_container(path))
        streams = source.streams.audio
        self.said = "none"
        self._packets: Iterator[Any] = iter(())
        if not streams or streams[0].codec_context is None:
            return
        stream = streams[0]
        video = source.streams.video[0]
        self._start = float((video.start_time or 0) * video.time_base)
        self._copied = stream.codec_context.name in _COPIED
        self.said = "copied" if self._copied else "encoded as AAC"
        self._resampler: Any = None
        if self._copied:
            self._stream = container.add_stream_from_template(stream)
        else:
            layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
            self._stream = container.add_stream("aac", rate=48_000, layout=layout)
        self._packets = source.demux(stream)
        self._waiting: Any = None

    def write_until(self, seconds: float) -> None:
        """Write what sounds before a time."""
        av = require("av", "writing videos")
        if self.said == "none":
            return
        try:
            while True:
                packet = self._waiting if self._waiting is not None else next(self._packets, None)
                self._waiting = packet
                if packet is None:
                    return
                if packet.dts is not None and float(packet.dts * packet.time_base) - self._start > seconds:
                    return
                self._waiting = None
                self._write(packet)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            self.said, self._packets, self._waiting = f"cut short, because it is damaged ({error})", iter(()), None

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self.said == "encoded as AAC":
            self._container.mux(self._stream.encode(None))

    def _write(self, packet: Any) -> None:
        if self._copied:
            shift = round(self._start / packet.time_base)
            if packet.dts is None or packet.pts is None or packet.pts < shift:
                return
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, self._stream
            self._container.mux(packet)
            return
        av = require("av", "writing videos")
        for frame in packet.decode():
            if self._resampler is None:
                context = self._stream.codec_context
                self._resampler = av.AudioResampler("fltp", context.layout, context.rate, context.frame_size or 1024)
            for part in self._resampler.resample(frame):
                part.pts = None if part.pts is None else part.pts - round(self._start / part.time_base)
                self._container.mux(self._stream.encode(part))
