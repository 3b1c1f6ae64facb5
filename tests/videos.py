"""Tiny videos for tests, made with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    times: Sequence[float] | None = None,
    rate: int = 25,
    rotation: int = 0,
    aspect: Fraction | None = None,
    sound: str | None = None,
    codec: str = "libx264",
    faststart: bool = False,
) -> Path:
    """Write frames, uint8 (H, W, 3), without loss that matters; `sound` is a codec for a tone as long as the video."""
    import av

    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        audio: Any = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = round(1000 * (number / rate if times is None else times[number]))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            _add_tone(container, audio, len(frames) / rate)
    return path


def _add_tone(container: Any, audio: Any, seconds: float) -> None:
    import av

    size = audio.codec_context.frame_size or 1024
    planar = audio.codec_context.codec.audio_formats[0].name
    for start in range(0, int(48000 * seconds), size):
        wave = np.sin(np.arange(start, start + size) * 2 * np.pi * 440 / 48000)
        samples = wave.astype(np.float32)[None] if planar == "fltp" else (20000 * wave).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format=planar, layout="mono")
        frame.rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(audio.encode(frame))
    container.mux(audio.encode(None))


def block(x: int, y: int, height: int = 256, width: int = 192) -> np.ndarray:
    """Dark, with a bright block of 8 x 8 pixels whose middle is x, y: the tiny estimator finds a person around it."""
    image = np.zeros((height, width, 3), np.uint8)
    image[y - 4 : y + 4, x - 4 : x + 4] = 255
    return image
