"""`posert.media.video` and `video_writer`: what is written is read back; nothing but `InputError` comes out of a bad file."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest

from posert.errors import InputError, MissingDependency
from posert.media.video import VideoReader
from posert.media.video_writer import VideoWriter

av = pytest.importorskip("av", reason="videos need PyAV: pip install posert[video]")
from videos import write_video  # noqa: E402


def picture(number, height=48, width=64):
    image = np.full((height, width, 3), 40, np.uint8)
    image[: height // 2, : width // 2] = 200  # bright top left corner: shows which way is up
    image[-8:, -8:, 0] = 10 * number
    return image


FRAMES = [picture(number) for number in range(12)]


def test_frames_come_with_their_times(tmp_path):
    reader = VideoReader(write_video(tmp_path / "a.mp4", FRAMES))
    assert (reader.size, reader.rate, reader.count) == ((48, 64), 25, 12)
    frames = list(reader.frames())
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 25, atol=2e-3)
    for frame, wanted in zip(frames, FRAMES, strict=True):
        assert np.abs(frame.image.astype(int) - wanted).mean() < 6
    assert len(list(reader.frames(limit=5))) == 5


def test_a_varying_rate_keeps_its_times(tmp_path):
    times = [0, 0.04, 0.3, 0.31, 1.0]
    frames = list(VideoReader(write_video(tmp_path / "a.mp4", FRAMES[:5], times=times)).frames())
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=2e-3)
    with VideoWriter(tmp_path / "b.mp4", (48, 64), 25) as writer:
        for frame in frames:
            writer.write(frame.image, frame.time)
    again = [frame.time for frame in VideoReader(tmp_path / "b.mp4").frames()]
    np.testing.assert_allclose(again, times, atol=2e-3)


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write rotations")
@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (-90, 3), (180, 2)])
def test_turned_videos_are_upright(tmp_path, degrees, turns):
    reader = VideoReader(write_video(tmp_path / "a.mp4", FRAMES[:3], rotation=degrees))
    upright = np.rot90(FRAMES[0], turns)
    assert reader.size == upright.shape[:2]
    assert np.abs(next(reader.frames()).image.astype(int) - upright).mean() < 6


def test_pixels_that_are_not_square(tmp_path):
    reader = VideoReader(write_video(tmp_path / "a.mp4", FRAMES[:3], aspect=Fraction(2, 1)))
    assert reader.size == (48, 128)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.mov", "a.webm"])
def test_other_containers(tmp_path, name):
    codec = {"a.webm": "libvpx", "a.avi": "mpeg4"}.get(name, "libx264")
    frames = list(VideoReader(write_video(tmp_path / name, FRAMES, codec=codec)).frames())
    assert len(frames) == 12


def test_samples_are_spread(tmp_path):
    frames = [np.full((48, 64, 3), 2 * number, np.uint8) for number in range(100)]
    reader = VideoReader(write_video(tmp_path / "a.mp4", frames))
    levels = [image.mean() / 2 for image in reader.sample(5)]
    np.testing.assert_allclose(levels, [10, 30, 50, 70, 90], atol=4)
    np.testing.assert_allclose([i.mean() / 2 for i in reader.sample(2, limit=20)], [5, 15], atol=4)
    sought = [image.mean() / 2 for image in reader.sample(1)]  # so few that it searches
    np.testing.assert_allclose(sought, [50], atol=6)
    assert len(reader.sample(1000)) == 100


def test_colours_survive_and_odd_sizes_grow(tmp_path):
    image = np.zeros((31, 45, 3), np.uint8)
    image[:, :15], image[:, 15:30], image[:, 30:] = (220, 30, 30), (30, 220, 30), (30, 30, 220)
    with VideoWriter(tmp_path / "a.mp4", (31, 45), 30) as writer:
        for number in range(3):
            writer.write(image, number / 30)
    reader = VideoReader(tmp_path / "a.mp4")
    assert reader.size == (32, 46)
    read = next(reader.frames()).image
    for column, wanted in ((7, image[0, 0]), (22, image[0, 20]), (38, image[0, 40])):
        assert np.abs(read[15, column].astype(int) - wanted).max() < 12
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.find(b"moov") < data.find(b"mdat"), "browsers start before they have all of it"


@pytest.mark.parametrize(("codec", "name", "said"), [("aac", "a.mp4", "copied"), ("pcm_s16le", "a.mov", "encoded as AAC")])
def test_sound_goes_along(tmp_path, codec, name, said):
    source = write_video(tmp_path / name, [picture(0)] * 50, sound=codec)
    with VideoWriter(tmp_path / "out.mp4", (48, 64), 25, sound_of=source) as writer:
        for number in range(25):
            writer.write(FRAMES[0], number / 25)
    assert writer.sound == said
    with av.open(str(tmp_path / "out.mp4")) as container:
        audio = container.streams.audio[0]
        assert audio.codec_context.name == "aac"
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio)])
    assert 0.9 < len(samples) / 48000 < 1.15, "as long as the pictures"
    spectrum = np.abs(np.fft.rfft(samples[12000:36000]))
    assert np.argmax(spectrum) * 48000 / 24000 == pytest.approx(440, abs=4)


def test_no_sound_is_said(tmp_path):
    source = write_video(tmp_path / "a.mp4", FRAMES)
    with VideoWriter(tmp_path / "out.mp4", (48, 64), 25, sound_of=source) as writer:
        writer.write(FRAMES[0], 0)
    assert writer.sound == "none"


def test_a_failed_video_leaves_nothing_and_keeps_what_was_there(tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"before")

    def stop(writer):
        writer.write(FRAMES[0], 0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "out.mp4", (48, 64), 25) as writer:
        stop(writer)
    with pytest.raises(InputError, match="it would hold no frame"), VideoWriter(tmp_path / "out.mp4", (48, 64), 25):
        pass
    with pytest.raises(InputError, match="a frame must be"), VideoWriter(tmp_path / "out.mp4", (48, 64), 25) as writer:
        writer.write(FRAMES[0][:-1], 0)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"before"


@pytest.mark.parametrize("size", [(0, 10), (10, 5000)])
def test_absurd_sizes_of_results(tmp_path, size):
    with pytest.raises(InputError, match="sides of 1 to 4096 pixels"):
        VideoWriter(tmp_path / "out.mp4", size, 25)


def test_large_frames_are_refused_before_they_are_decoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    with pytest.raises(InputError, match=r"frames of 64 x 48 .* --max-pixels"):
        VideoReader(path, max_pixels=3000)
    with pytest.raises(InputError, match="greater than 0"):
        VideoReader(path, max_pixels=float("nan"))


def damaged(tmp_path):
    data = write_video(tmp_path / "whole.mp4", FRAMES, faststart=True).read_bytes()
    late = write_video(tmp_path / "late.mp4", FRAMES).read_bytes()
    rng = np.random.default_rng(0)
    noise = bytearray(data)
    noise[data.find(b"mdat") + 100 :] = rng.bytes(len(data) - data.find(b"mdat") - 100)
    return {
        "empty": b"",
        "text": b"these are my notes\n" * 50,
        "cut in its index": data[:200],
        "cut in its frames": data[: (data.find(b"mdat") + len(data)) // 2],
        "without an index": late[: late.find(b"moov")],
        "noise": bytes(noise),
        "a play list": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        "a list of files": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    }


@pytest.mark.parametrize("kind", ["empty", "text", "cut in its index", "cut in its frames", "without an index", "noise"])
def test_damaged_files(tmp_path, kind):
    path = tmp_path / "a.mp4"
    path.write_bytes(damaged(tmp_path)[kind])
    with pytest.raises(InputError, match=r"a\.mp4"):
        list(VideoReader(path).frames())


@pytest.mark.parametrize("kind", ["a play list", "a list of files"])
def test_a_file_cannot_lead_to_others(tmp_path, kind):
    path = tmp_path / "a.mp4"
    path.write_bytes(damaged(tmp_path)[kind])
    with pytest.raises(InputError, match="cannot be opened"):
        VideoReader(path)


def test_what_is_no_video(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        VideoReader(tmp_path / "absent.mp4")
    with pytest.raises(InputError, match="folder or a device"):
        VideoReader(tmp_path)
    container = av.open(str(tmp_path / "sound.mp4"), "w")
    stream = container.add_stream("aac", rate=48000)
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.rate = 48000
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    container.close()
    with pytest.raises(InputError, match="holds no video stream"):
        VideoReader(tmp_path / "sound.mp4")


def test_without_pyav_it_says_what_to_install(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", FRAMES[:2])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependency, match=r'needs PyAV: pip install "posert\[video\]"'):
        VideoReader(path)
    with pytest.raises(MissingDependency, match=r"posert\[video\]"):
        VideoWriter(tmp_path / "b.mp4", (48, 64), 25)
