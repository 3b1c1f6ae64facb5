"""The plan cache: a plan is built once, read back only as it was built, and kept where nobody else may write."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("filelock", reason="the plan cache needs filelock; pip install posert[tensorrt-rtx]")

from posert import BuildError, MissingDependency
from posert.builders import cache
from posert.builders.cache import PlanCache, default_folder

IDENTITY = {"onnx": "1f", "profiles": [[1, 1, 1], [2, 8, 8]], "level": 3}
posix = pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX's")


def never() -> bytes:
    raise AssertionError("built although the cache has it")


def test_built_once_and_kept(tmp_path: Path) -> None:
    first = PlanCache(tmp_path).get(IDENTITY, lambda: b"plan")
    again = PlanCache(tmp_path).get({**reversed_keys(IDENTITY)}, never)
    assert (first.data, first.built, again.data, again.built) == (b"plan", True, b"plan", False)
    assert first.path == again.path
    assert first.path.read_bytes() == b"plan"
    assert json.loads(first.path.with_suffix(".json").read_text())["identity"] == IDENTITY
    assert {path.suffix for path in first.path.parent.iterdir()} == {".plan", ".json", ".lock"}, "nothing temporary is left"


def reversed_keys(document: dict[str, object]) -> dict[str, object]:
    return dict(reversed(document.items()))


@pytest.mark.parametrize("change", [{"onnx": "1e"}, {"level": 4}, {"profiles": [[1, 1, 1]]}, {"more": 1}])
def test_whatever_changes_the_plan_is_built_anew(tmp_path: Path, change: dict[str, object]) -> None:
    plans = PlanCache(tmp_path)
    plans.get(IDENTITY, lambda: b"one")
    assert plans.get(IDENTITY | change, lambda: b"two").data == b"two"
    assert plans.get(IDENTITY, never).data == b"one"


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "no plan", "no record", "record", "record of another"])
def test_damage_is_built_again(tmp_path: Path, damage: str) -> None:
    plans = PlanCache(tmp_path)
    path = plans.get(IDENTITY, lambda: b"good plan").path
    record = path.with_suffix(".json")
    content = path.read_bytes()
    if damage == "flip":
        path.write_bytes(content[:3] + bytes([content[3] ^ 1]) + content[4:])
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no plan":
        path.unlink()
    elif damage == "no record":
        record.unlink()
    elif damage == "record":
        record.write_text("[" * 100_000)
    else:
        other = json.loads(record.read_text())
        other["identity"]["level"] = 5
        record.write_text(json.dumps(other))
    mended = plans.get(IDENTITY, lambda: b"good plan")
    assert (mended.data, mended.built) == (b"good plan", True)
    assert plans.get(IDENTITY, never).built is False


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    plans = PlanCache(tmp_path)

    def fail() -> bytes:
        raise BuildError("no")

    with pytest.raises(BuildError, match="no"):
        plans.get(IDENTITY, fail)
    assert {path.suffix for path in plans.folder.iterdir()} <= {".lock"}
    with pytest.raises(OSError, match="of the vendor"):  # what is not the cache's fault is not called so
        plans.get(IDENTITY, lambda: (_ for _ in ()).throw(OSError("of the vendor")))
    assert plans.get(IDENTITY, lambda: b"plan").built


def test_many_at_once_build_once(tmp_path: Path) -> None:
    built = []

    def work(_: int) -> bytes:
        return PlanCache(tmp_path).get(IDENTITY, lambda: built.append(1) or b"plan").data

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(24))) == {b"plan"}
    assert built == [1]


def test_a_lock_that_is_never_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_WAIT", 0.05)
    plans = PlanCache(tmp_path)

    def while_building() -> bytes:
        with ThreadPoolExecutor(1) as pool, pytest.raises(BuildError, match=r"\.lock has been held"):
            pool.submit(plans.get, IDENTITY, never).result()
        return b"plan"

    assert plans.get(IDENTITY, while_building).data == b"plan"


@posix
def test_modes(tmp_path: Path) -> None:
    path = PlanCache(tmp_path / "new" / "folder").get(IDENTITY, lambda: b"plan").path
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()] == [0o600] * 3


@posix
def test_a_folder_that_others_can_read_is_closed(tmp_path: Path) -> None:
    plans = PlanCache(tmp_path)
    plans.folder.mkdir()
    plans.folder.chmod(0o755)
    plans.get(IDENTITY, lambda: b"plan")
    assert stat.S_IMODE(plans.folder.stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    plans = PlanCache(tmp_path)
    plans.get(IDENTITY, lambda: b"plan")
    plans.folder.chmod(mode)
    with pytest.raises(BuildError, match=f"others may write.*{mode:04o}.*POSERT_CACHE"):
        plans.get(IDENTITY, never)


@posix
def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(BuildError, match="another user"):
        PlanCache(tmp_path).get(IDENTITY, never)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=r"cannot use the plan cache.*POSERT_CACHE"):
        PlanCache(tmp_path / "file").get(IDENTITY, never)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "plans").write_text("mine")
    (tmp_path / "plans").chmod(0o644)
    with pytest.raises(BuildError, match=r"plans: Not a directory; set POSERT_CACHE"):
        PlanCache(tmp_path).get(IDENTITY, never)
    assert (tmp_path / "plans").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # an administrator may write anywhere
    with pytest.raises(BuildError, match=r"plans: Permission denied; set POSERT_CACHE"):
        PlanCache(tmp_path).get(IDENTITY, never)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    plans = PlanCache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BuildError, match=r"plans: No space left on device; set POSERT_CACHE"):
            plans.get(IDENTITY, lambda: b"plan")
    assert {path.suffix for path in plans.folder.iterdir()} <= {".lock"}, "no half of a plan is left"
    assert plans.get(IDENTITY, lambda: b"plan").built


def test_what_may_be_lost(tmp_path: Path) -> None:
    plans = PlanCache(tmp_path)
    assert plans.load("times") == b""
    plans.store("times", b"first")
    plans.store("times", b"second")
    assert PlanCache(tmp_path).load("times") == b"second"
    (path,) = plans.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert plans.load("times") == b""


def test_a_home_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSERT_CACHE", "~nobody-of-this-name/plans")
    with pytest.raises(BuildError, match=r"no home folder.*POSERT_CACHE"):
        default_folder()


@posix
def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("POSERT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_folder() == tmp_path / ".cache" / "posert"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification: such paths are to be ignored
    assert default_folder() == tmp_path / ".cache" / "posert"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere/xdg")
    assert default_folder() == Path("/elsewhere/xdg/posert")
    monkeypatch.setenv("POSERT_CACHE", "~/mine")
    assert default_folder() == tmp_path / "mine"
    assert PlanCache().folder == tmp_path / "mine" / "plans"


def test_without_the_locks_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(MissingDependency, match="needs filelock: pip install filelock"):
        PlanCache(tmp_path).get(IDENTITY, never)
