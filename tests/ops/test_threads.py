"""The thread count respects affinity and quota, and the pool survives forks, exceptions and being called from anywhere."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cases import CASES

from posert import _native, ops
from posert.errors import InputError
from posert.ops._dispatch import OPERATIONS

REPOSITORY = Path(__file__).resolve().parents[2]

linux = pytest.mark.skipif(sys.platform != "linux", reason="cgroups and affinity masks are Linux's")


def tree(root: Path, cgroup: str, files: dict[str, str]) -> str:
    """A file system root with a /proc/self/cgroup and files under /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("cgroup", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 0),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {}, 0),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000", "cpu.max": "max 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "700000 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/not/mounted\n", {"cpu.max": "400000 100000"}, 4),
        ("0::/\n", {"cpu.max": "nonsense"}, 0),
        ("0::/\n", {"cpu.max": "-5 0"}, 0),
        ("4:cpu,cpuacct:/x\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "250000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpuacct,cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "250000", "cpu/x/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, 0),
        ("4:cpu:/x\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("2:cpuset:/x\n", {"cpuset/x/cpu.cfs_quota_us": "100000", "cpuset/x/cpu.cfs_period_us": "100000"}, 0),
        ("garbage\n", {}, 0),
    ],
)
def test_quota(tmp_path: Path, cgroup: str, files: dict[str, str], cpus: int):
    root = tree(tmp_path, cgroup, files)
    assert _native.quota_cpus(root) == cpus
    assert _native.available_cpus(root) <= (cpus or 1 << 20)
    assert _native.available_cpus(root) >= 1


def run_python(code: str) -> str:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY / "tests")}
    command = [sys.executable, "-P", "-W", "ignore", "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@linux
def test_affinity_decides_the_default():
    code = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import posert.ops
        print(posert.ops.get_num_threads())
    """
    assert run_python(code) == "1"


@linux
def test_import_starts_no_thread_and_a_fork_gets_its_own_pool():
    code = """
        import os
        import numpy as np
        from posert import ops
        ops.set_num_threads(3)
        tasks = lambda: len(os.listdir("/proc/self/task"))
        assert tasks() == 1, tasks()
        points = np.random.default_rng(0).uniform(0, 64, (16, 18, 3)).astype(np.float32)
        draw = lambda: ops.rasterize_discs(points, (128, 64)).tobytes()
        wanted = draw()
        assert tasks() == 3, tasks()
        child = os.fork()
        if child == 0:
            alone = tasks() == 1
            os._exit(0 if alone and draw() == wanted and tasks() == 3 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert draw() == wanted
        print("done")
    """
    assert run_python(code) == "done"


@linux
def test_many_people_start_threads_in_every_operation():
    """Without this, no test of the cases called "many" would say anything about threads."""
    assert {case.op for case in CASES if case.name.endswith("many")} == set(OPERATIONS)
    code = """
        import os
        from cases import CASES, call
        from posert import ops
        from posert.ops._dispatch import NUMPY_ONLY
        ops.set_num_threads(3)
        tasks = lambda: len(os.listdir("/proc/self/task"))
        for case in CASES:
            if not case.name.endswith("many") or case.op in NUMPY_ONLY:
                continue
            arguments = case.arguments()
            child = os.fork()  # which has a pool of its own, without threads
            if child == 0:
                before = tasks()
                call(case, arguments, backend="native")
                os._exit(0 if (before, tasks() > 1) == (1, True) else 1)
            if os.waitpid(child, 0)[1] != 0:
                print(case)
    """
    assert run_python(code) == "", "these cases ran in one thread"


def test_set_num_threads():
    before = ops.get_num_threads()
    try:
        ops.set_num_threads(7)
        assert ops.get_num_threads() == 7
        assert "7 threads" in ops.explain("closing")
    finally:
        ops.set_num_threads(before)
    for bad in (0, -1, 1.5, True, "2", None, 10**9):
        with pytest.raises(InputError, match="count must be an integer"):
            ops.set_num_threads(bad)
    assert ops.get_num_threads() == before


@pytest.mark.skipif(sys.platform == "win32", reason="calls a compiler the Unix way")
def test_the_pool_by_itself(tmp_path: Path):
    """Exceptions, nesting, several callers: a C++ program, which also shows that the kernels need no Python."""
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    program = tmp_path / "threads_test"
    sources = [
        Path(__file__).with_name("threads_test.cpp"),
        *(REPOSITORY / "csrc" / name for name in ("threads.cpp", "cpus.cpp")),
    ]
    command = [compiler, "-std=c++20", "-O1", f"-I{REPOSITORY / 'csrc'}", *map(str, sources), "-o", str(program), "-pthread"]
    subprocess.run(command, check=True, timeout=120)
    subprocess.run([str(program)], check=True, timeout=60)
