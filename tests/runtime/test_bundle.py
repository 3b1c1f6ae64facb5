"""The bundle: what is written is read back, to the byte; and no damage, accidental or not, gets past the reader."""

from __future__ import annotations

import copy
import io
import json
import os
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posert import Bundle, BundleError, InputError, Manifest

CONTENT = {"estimator.onnx": bytes(range(256)) * 4, "plans/sm_90.plan": b"plan" * 10}


@pytest.fixture
def bundle(tmp_path, estimator_document):
    return Bundle.write(tmp_path / "model.posert", estimator_document, CONTENT)


@pytest.fixture(scope="module")
def good(tmp_path_factory, estimator_document):
    return Bundle.write(tmp_path_factory.mktemp("good") / "model.posert", estimator_document, CONTENT).path.read_bytes()


def refused(path: Path, data: bytes, match: str = "posert|JSON|ZIP|member|manifest|file") -> None:
    """The bytes must be refused with BundleError, with no more memory than a few times their size."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=match):
            Bundle.open(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000 + 2 * len(data)
    finally:
        tracemalloc.stop()


def archive(members, **options) -> bytes:
    """A ZIP as other programs write it."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicate names
        with zipfile.ZipFile(buffer, "w", **options) as file:
            for name, data in members:
                file.writestr(name, data)
    return buffer.getvalue()


def own_archive(members) -> bytes:
    """A ZIP whose headers are as posert writes them, with any members."""
    body, directory = b"", b""
    for name, data in members:
        common = (10, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name))
        central = (3 << 8 | 20, *common, 0, 0, 0, 0, 0o100644 << 16, len(body))
        directory += struct.pack("<4s6H3L5H2L", b"PK\1\2", *central) + name.encode()
        body += struct.pack("<4s5H3L2H", b"PK\3\4", *common, 0) + name.encode() + data
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + end


def test_round_trip(bundle, estimator_document):
    assert bundle.manifest.name == "tiny-estimator"
    assert bundle.manifest.preprocess.size == (256, 192)
    assert bundle.manifest.skeleton.name == "cpm14"
    assert list(bundle.members) == ["manifest.json", *CONTENT]
    assert {name: bundle.read(name) for name in CONTENT} == CONTENT
    assert json.loads(bundle.read("manifest.json")) == bundle.manifest.document()
    assert {k: v for k, v in bundle.manifest.document().items() if k != "files"} == estimator_document


def test_other_programs_read_it(bundle):
    with zipfile.ZipFile(bundle.path) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in CONTENT} == CONTENT


def test_same_input_same_bytes(bundle, tmp_path, estimator_document, good):
    shuffled = dict(reversed(estimator_document.items()))
    again = Bundle.write(tmp_path / "again.posert", shuffled, dict(reversed(CONTENT.items())))
    assert again.path.read_bytes() == bundle.path.read_bytes() == good
    rewritten = Bundle.write(tmp_path / "rewritten.posert", bundle.manifest, CONTENT)
    assert rewritten.path.read_bytes() == good


def test_exact_bytes(good):
    assert good[:30] == b"PK\3\4\x0a\0\0\0\0\0\0\0\x21\0" + good[14:18] + struct.pack("<LLHH", *[len_manifest(good)] * 2, 13, 0)
    assert good[30:43] == b"manifest.json"
    members = [(name, zipfile.ZipFile(io.BytesIO(good)).read(name)) for name in ("manifest.json", *CONTENT)]
    assert own_archive(members) == good


def len_manifest(data: bytes) -> int:
    return zipfile.ZipFile(io.BytesIO(data)).getinfo("manifest.json").file_size


def test_every_truncation(good, tmp_path):
    path = tmp_path / "cut.posert"
    for length in {*range(0, len(good), 37), *range(100), *range(len(good) - 400, len(good))}:
        refused(path, good[:length])


def test_every_flipped_byte(good, tmp_path):
    path = tmp_path / "flipped.posert"
    for position in range(0, len(good)):
        data = bytearray(good)
        data[position] ^= 1 << (position % 8)
        path.write_bytes(data)
        with pytest.raises(BundleError):
            Bundle.open(path)


@given(st.data())
def test_any_mutation(good, tmp_path, data):
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    mutated = good[:start] + data.draw(st.binary(max_size=80)) + good[end:]
    if mutated != good:
        refused(tmp_path / "mutated.posert", mutated)


@given(st.binary(max_size=2000))
def test_any_bytes(tmp_path, data):
    refused(tmp_path / "any.posert", data)


@pytest.mark.parametrize("tail", [b"\0", b"PK\5\6" + bytes(18)])
def test_bytes_before_or_after(good, tmp_path, tail):
    refused(tmp_path / "tail.posert", good + tail)
    refused(tmp_path / "head.posert", tail + good)


def test_compressed_member(good, tmp_path):
    members = [(name, zipfile.ZipFile(io.BytesIO(good)).read(name)) for name in ("manifest.json", *CONTENT)]
    refused(tmp_path / "a.posert", archive(members, compression=zipfile.ZIP_DEFLATED), "compressed")
    bomb = [*members[:1], ("estimator.onnx", bytes(50_000_000))]
    refused(tmp_path / "b.posert", archive(bomb, compression=zipfile.ZIP_DEFLATED), "compressed")


def test_hostile_members(good, tmp_path):
    manifest = zipfile.ZipFile(io.BytesIO(good)).read("manifest.json")
    plain = [("manifest.json", manifest), *CONTENT.items()]
    path = tmp_path / "hostile.posert"
    assert own_archive(plain) == good
    refused(path, own_archive([*plain, plain[-1]]), "twice")
    refused(path, archive([*plain, plain[-1]]))
    for name in ("../evil", "/etc/passwd", "plans/../../evil", "a//b", "C:\\evil", "plans/."):
        refused(path, own_archive([*plain, (name, b"x")]), "leaves the bundle")
    refused(path, own_archive([*plain, ("a\nb", b"x")]), "not allowed")
    refused(path, own_archive([*plain, ("zzz.onnx", b"x")]), "disagree about .*zzz")
    refused(path, own_archive(plain[:-1]), "disagree")
    refused(path, own_archive([plain[0], ("estimator.onnx", b"y" * 1024), plain[2]]), "hash")
    refused(path, own_archive([plain[1], plain[0], plain[2]]), r"must be manifest\.json")
    refused(path, own_archive([plain[0], plain[2], plain[1]]), "sorted")
    refused(path, own_archive([]), "ZIP directory")
    refused(path, own_archive(plain[1:]), r"must be manifest\.json")
    refused(path, own_archive([("manifest.json", b" " * ((1 << 20) + 1))]), "at most")


def test_sizes_beyond_the_file(good, tmp_path):
    path = tmp_path / "sizes.posert"
    directory = good.index(b"PK\1\2")
    for size in (0xFFFFFFFF, len(good), 2_000_000_000):
        data = bytearray(good)
        struct.pack_into("<LL", data, directory + 20, size, size)
        refused(path, bytes(data), "reaches beyond")
    for field, value in ((10, 65535), (12, 0xFFFFFFFF), (16, 0xFFFFFFFF), (16, 0)):
        data = bytearray(good)
        struct.pack_into("<H" if field == 10 else "<L", data, len(good) - 22 + field, value)
        refused(path, bytes(data))


def test_overlapping_members(good, tmp_path):
    data = bytearray(good)
    second = good.index(b"PK\1\2", good.index(b"PK\1\2") + 1)
    struct.pack_into("<L", data, second + 42, 0)  # the second member now starts where the first does
    refused(tmp_path / "overlap.posert", bytes(data))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b"null", "not a posert bundle"),
        (b"[]", "not a posert bundle"),
        (b'{"format": "posert-bundle", "format": "posert-bundle"}', "distinct"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "JSON"),
        (b'{"format": "posert-bundle", "version": 2}', "update posert"),
        (b'{"format": "posert-bundle", "version": true}', "version"),
        (b'{"format": "posert-bundle", "version": 1}', "lacks"),
    ],
)
def test_hostile_json(tmp_path, text, match):
    refused(tmp_path / "json.posert", own_archive([("manifest.json", text)]), match)


def test_many_distinct_and_repeated_keys_are_quick(tmp_path):
    text = "{" + ",".join(f'"{i % 60_000}":1' for i in range(80_000)) + "}"
    with pytest.raises(BundleError, match="distinct"):
        Manifest.parse(text.encode())


BAD_FIELDS = [
    (("name",), 3, "name"),
    (("name",), "../x", "name"),
    (("name",), "x\n", "name"),
    (("task",), "detection", "task"),
    (("paper",), "pg2", "paper"),
    (("skeleton",), "coco99", "skeleton"),
    (("skeleton",), "coco18", "heatmaps"),
    (("description",), "x" * 10_001, "description"),
    (("description",), "\ud800", "JSON"),
    (("networks",), [], "networks"),
    (("networks",), {}, "networks"),
    (("networks", 0, "file"), "../estimator.onnx", "file"),
    (("networks", 0, "file"), "other.onnx", "networks name the files"),
    (("networks", 0, "name"), "generator", "no network 'estimator'"),
    (("networks", 0, "inputs", 0, "dtype"), "float64", "dtype"),
    (("networks", 0, "inputs", 0, "dtype"), "uint8", "float32"),
    (("networks", 0, "inputs", 0, "name"), "picture", "image"),
    (("networks", 0, "inputs", 0, "shape"), [1, 3, 256, 192], r"shape\[0\]"),
    (("networks", 0, "inputs", 0, "shape"), ["N", 3, 256, -192], r"shape\[3\]"),
    (("networks", 0, "inputs", 0, "shape"), ["N", 3, 256, 192.0], r"shape\[3\]"),
    (("networks", 0, "inputs", 0, "shape"), ["N", True, 256, 192], r"shape\[1\]"),
    (("networks", 0, "inputs", 0, "range"), [1, -1], "range"),
    (("networks", 0, "inputs", 0, "range"), [0, float("nan")], "range"),
    (("networks", 0, "outputs", 0, "shape"), ["N", 14, 32, 24], "heatmaps"),
    (("preprocess",), None, "preprocess"),
    (("preprocess", "size"), [256], "size"),
    (("preprocess", "size"), [128, 96], "image"),
    (("preprocess", "size"), [0, 192], "size"),
    (("preprocess", "mean"), [1, 2], "mean"),
    (("preprocess", "scale"), 0, "scale"),
    (("preprocess", "scale"), "big", "scale"),
    (("preprocess", "channels"), "gbr", "channels"),
    (("preprocess", "fill"), 256, "fill"),
    (("preprocess", "box_scale"), 0, "box_scale"),
    (("preprocess", "gamma"), 1, "does not know"),
    (("postprocess", "stride"), 0, "stride"),
    (("postprocess", "stride"), 7, "heatmaps"),
    (("postprocess", "method"), "magic", "method"),
    (("postprocess", "calibration"), [0.0, 1.0], "slope"),
    (("postprocess", "min_score"), 1.5, "min_score"),
    (("postprocess", "min_score"), {"tail": 0.5}, "tail"),
    (("postprocess", "min_score"), {"neck": -0.5}, "min_score.neck"),
    (("batch_sizes",), [], "batch_sizes"),
    (("batch_sizes",), [8, 1], "ascending"),
    (("batch_sizes",), [1, 1], "ascending"),
    (("batch_sizes",), [1, 10**30], "batch_sizes"),
    (("variants",), [], "variants"),
    (("variants", 0, "parity"), 3, "parity"),
    (("variants", 0, "precision"), None, "precision"),
    (("training",), [], "training"),
    (("licences",), {"code": "x"}, "licences"),
    (("licences", "weights"), 5, "licences"),
    (("extra",), 5, "does not know"),
]


@pytest.mark.parametrize(
    ("keys", "value", "match"), BAD_FIELDS, ids=lambda v: ".".join(map(str, v)) if isinstance(v, tuple) else ""
)
def test_bad_fields(tmp_path, estimator_document, keys, value, match):
    document = copy.deepcopy(estimator_document)
    entry = document
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    with pytest.raises(BundleError, match=match):
        Bundle.write(tmp_path / "bad.posert", document, CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_transfer_contract(transfer_document):
    files = {"generator.onnx": {"sha256": "0" * 64, "bytes": 1}}
    document = copy.deepcopy({**transfer_document, "files": files})
    assert Manifest.of(document).preprocess.mean == (127.5, 127.5, 127.5)
    document["networks"][0]["outputs"].pop(0)  # one stage
    assert Manifest.of(document).postprocess.mask_closing == 5
    document["postprocess"]["mask_closing"] = 4
    with pytest.raises(BundleError, match="odd"):
        Manifest.of(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.data())
def test_any_value_in_any_field(estimator_document, data):
    files = {"estimator.onnx": {"sha256": "0" * 64, "bytes": 1}}
    document = copy.deepcopy({**estimator_document, "files": files})
    entry = document
    while isinstance(entry, (dict, list)) and entry:
        key = data.draw(st.sampled_from(sorted(entry) if isinstance(entry, dict) else range(len(entry))))
        if not isinstance(entry[key], (dict, list)) or not entry[key] or data.draw(st.booleans()):
            break
        entry = entry[key]
    entry[key] = data.draw(JSON)
    try:
        manifest = Manifest.parse(json.dumps(document).encode())
    except BundleError:
        return
    assert Manifest.parse(manifest.text.encode()) == manifest  # what is let in is canonical


@given(JSON)
def test_any_json(data):
    with pytest.raises(BundleError):
        Manifest.parse(json.dumps(data).encode())


def test_files_must_match(tmp_path, bundle):
    with pytest.raises(BundleError, match="not those given"):
        Bundle.write(tmp_path / "x.posert", bundle.manifest, {**CONTENT, "estimator.onnx": b"other"})
    with pytest.raises(BundleError, match="files"):
        Bundle.write(tmp_path / "x.posert", {**bundle.manifest.document(), "files": 3}, CONTENT)


def test_change_after_opening(bundle):
    data = bytearray(bundle.path.read_bytes())
    data[data.index(CONTENT["estimator.onnx"]) + 5] ^= 1
    bundle.path.write_bytes(data)
    with pytest.raises(BundleError, match="changed since"):
        bundle.read("estimator.onnx")
    bundle.path.write_bytes(b"")
    with pytest.raises(BundleError, match="changed since"):
        bundle.read("estimator.onnx")
    bundle.path.unlink()
    with pytest.raises(InputError, match="no such file"):
        bundle.read("estimator.onnx")


def test_bad_paths(tmp_path, bundle, estimator_document):
    with pytest.raises(InputError, match="no such file"):
        Bundle.open(tmp_path / "absent.posert")
    with pytest.raises(InputError, match="not a file"):
        Bundle.open(tmp_path)
    with pytest.raises(InputError, match="NUL"):
        Bundle.open("a\0b")
    with pytest.raises(InputError, match="no member"):
        bundle.read("other.onnx")
    with pytest.raises(InputError, match="cannot write"):
        Bundle.write(tmp_path / "absent" / "x.posert", estimator_document, CONTENT)
    os.mkfifo(tmp_path / "pipe.posert")
    with pytest.raises(InputError, match="not a file"):
        Bundle.open(tmp_path / "pipe.posert")


def test_a_failed_write_leaves_nothing(tmp_path, bundle, estimator_document, monkeypatch):
    before = bundle.path.read_bytes()

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(InputError, match="No space left"):
        Bundle.write(bundle.path, estimator_document, {**CONTENT, "plans/sm_90.plan": b"other"})
    assert list(tmp_path.iterdir()) == [bundle.path]
    assert bundle.path.read_bytes() == before
