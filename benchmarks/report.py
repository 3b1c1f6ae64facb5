"""Write the table of a benchmark run: medians, spreads, and how many times faster posert is, losses beside wins.

pytest benchmarks --benchmark-only --benchmark-json=run.json
python benchmarks/report.py run.json > table.md

On a machine that does other work too, add --benchmark-timer=time.process_time for the kernels: time that others had does not
count then. It is for one thread alone: two are timed by the wall clock whatever it says, and targets are judged on one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

# Group, peer -> how many times faster than the peer posert has to be.
TARGETS = {
    ("crop_resize", "cv2.warpAffine + NumPy"): 5.0,
    ("pose_mask", "cv2.line + cv2.morphologyEx"): 2.0,
    ("closing 5x5, masks", "cv2.morphologyEx"): 1.0,
    ("closing 21x21, masks", "cv2.morphologyEx"): 1.0,
    ("closing 5x5, grey", "cv2.morphologyEx"): 1.0,
    ("closing 21x21, grey", "cv2.morphologyEx"): 1.0,
    ("decode_heatmaps, argmax", "only read it all (numpy.max)"): 0.5,
    ("decode_heatmaps, quarter", "only read it all (numpy.max)"): 0.5,
    ("decode_heatmaps, upsampled", "cv2.resize + cv2.minMaxLoc"): 20.0,
    ("limb_priors", "only write it all (ndarray.fill)"): 0.33,
    ("warp_parts", "cv2.warpAffine + NumPy"): 4.0,
    ("warp_parts", "only write it all (ndarray.fill)"): 0.5,
    ("people from maps", "cv2.resize + maximum_filter + NumPy loop"): 100.0,
    ("find_peaks, from cells", "cv2.resize + cv2.dilate"): 20.0,
    ("find_peaks, from pixels", "cv2.dilate"): 3.0,
    ("limb_scores, from cells", "cv2.resize + NumPy loop"): 100.0,
    ("assemble_people", "Python loop"): 10.0,
    ("rasterize_pafs", "only write it all (ndarray.fill)"): 0.33,
    ("rasterize_pafs", "NumPy in boxes"): 50.0,
    ("distance_transform", "NumPy, all pairs of a line"): 4.0,
    ("rasterize_discs, reused buffer, two frames", "only write it all (memset)"): 0.9,
}


def table(run: dict[str, Any]) -> list[str]:
    """Rows of markdown for the kernels, one a peer, in the order in which they ran."""
    lines = [
        "| kernel | way | ms, one thread | spread (IQR) | GB/s | share of copy bandwidth | posert is | target "
        "| ms, two threads | share of copy bandwidth | posert is |",
        "|---|---|---:|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for group, peers in grouped(run, "bytes_moved").items():
        own = peers.get("posert", {})
        for peer, entry in peers.items():
            stats, info = entry["stats"], entry["extra_info"]
            ratio = stats["median"] / own["stats"]["median"] if own and peer != "posert" else None
            goal = TARGETS.get((group, peer))
            verdict = "" if goal is None or ratio is None else f"{goal:g}x: {'met' if ratio >= goal else 'MISSED'}"
            lines.append(
                f"| {group} | {peer} | {1e3 * stats['median']:.3f} | {100 * stats['iqr'] / stats['median']:.0f} % "
                f"| {info['gb_per_s']:.1f} | {100 * info['share_of_copy_bandwidth']:.0f} % "
                f"| {'' if ratio is None else comparison(ratio)} | {verdict} | {' | '.join(on_two_threads(entry, own))} |"
            )
    return lines


def on_two_threads(entry: dict[str, Any], own: dict[str, Any]) -> list[str]:
    """Three cells: milliseconds, share of bandwidth, and posert beside the peer, or beside itself on one thread."""
    both = entry["extra_info"].get("two_threads")
    if both is None:
        return ["", "", ""]
    median = both["median"]
    if entry is own:
        versus = f"{comparison(entry['stats']['median'] / median)} than on one"
    else:
        mine = own.get("extra_info", {}).get("two_threads")
        versus = comparison(median / mine["median"]) if mine else ""
    return [f"{1e3 * median:.3f}", f"{100 * both['share_of_copy_bandwidth']:.0f} %", versus]


def grouped(run: dict[str, Any], fact: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Group -> peer -> entry, of the benchmarks that noted a fact."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in run["benchmarks"]:
        if fact in entry["extra_info"]:
            groups.setdefault(entry["group"], {})[entry["extra_info"]["peer"]] = entry
    return groups


def pipeline_table(run: dict[str, Any]) -> list[str]:
    """Rows of markdown for the two pipelines: images a second, and where posert's time goes."""
    lines = [
        "| pipeline | way | images/s | spread (IQR) | posert is | GFLOP/s | share of GEMM peak | median ms of each step |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for group, peers in grouped(run, "images_per_second").items():
        own = peers.get("posert", {}).get("stats", {}).get("median")
        for peer, entry in peers.items():
            stats, info = entry["stats"], entry["extra_info"]
            ratio = comparison(stats["median"] / own) if own and peer != "posert" else ""
            steps = ", ".join(f"{name} {ms:.2f}" for name, ms in info["stage_ms"].items())
            spread = f"{100 * stats['iqr'] / stats['median']:.0f} %"
            cost = f"{info['gflop_per_s']:.0f} | {100 * info['share_of_gemm_peak']:.0f} %" if "gflop_per_s" in info else " | "
            lines.append(f"| {group} | {peer} | {info['images_per_second']:.1f} | {spread} | {ratio} | {cost} | {steps} |")
    return lines


def comparison(ratio: float) -> str:
    """How posert compares to a peer that takes `ratio` times as long."""
    return f"{ratio:.1f}x faster" if ratio >= 1 else f"{1 / ratio:.1f}x slower"


def heading(run: dict[str, Any]) -> list[str]:
    """Machine, versions and method."""
    info = run["machine_info"]
    processor = info.get("cpu", {}).get("brand_raw", info.get("machine", "unknown CPU"))
    lines = [f"{processor}, {info['system']}. The pipelines run on all threads that the process may use."]
    if facts := info.get("posert"):
        bandwidth = facts["bandwidth"]
        versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        lines += [
            f"Kernels run for {facts['instruction_set']}. Copy bandwidth {bandwidth['copy']:.1f} GB/s (read + written),",
            f"write bandwidth {bandwidth['write']:.1f} GB/s, measured in this run. Python {facts['python']}, {versions}.",
            two_threads(facts.get("bandwidth_on_two_threads")),
        ]
    rounds = [entry["stats"]["rounds"] for entry in run["benchmarks"]]
    lines.append(
        "Every result was compared with another way's before it was timed: the kernels' with the reference, the pipelines' with "
        f"each other. Medians of {min(rounds, default=0)} to {max(rounds, default=0)} rounds; all ways in one run."
    )
    return lines


def two_threads(bandwidth: dict[str, float] | None) -> str:
    """What the columns of two threads mean."""
    if bandwidth is None:
        return "Two threads were not timed, because this process has one CPU."
    return (
        "Two threads are timed by the wall clock, and only of peers that use them; shares are of what two threads copy at once, "
        f"{bandwidth['copy']:.1f} GB/s. Targets are judged on one."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="markdown table of a pytest-benchmark JSON file")
    parser.add_argument("run", type=Path, help="what --benchmark-json wrote")
    arguments = parser.parse_args()
    try:
        run = json.loads(arguments.run.read_text())
        lines = [*heading(run), "", *table(run), "", *pipeline_table(run)]
    except (OSError, ValueError, KeyError) as error:
        print(f"{arguments.run} is not a pytest-benchmark file: {error!r}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
