"""Compares the speed and memory of facegrad with those of PyTorch and ONNX Runtime on this machine.

For each task, the programs run one after the other, each in its own process, and again for each round:
A B A B. A ratio is facegrad's images per second over the peer's in the same round. Run it as compare.sh.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASKS = [
    "train:iresnet18:16",
    "train:iresnet50:16",
    "train:mobilefacenet_mbf:64",
    "train:nano:128",
    "infer:iresnet18:1",
    "infer:iresnet18:32",
    "infer:iresnet50:1",
    "infer:iresnet50:32",
    "infer:mobilefacenet_mbf:1",
    "infer:mobilefacenet_mbf:32",
]
PEERS = {
    "train": ["f32", "f32-channels-last", "bf16-channels-last"],
    "infer": ["f32-channels-last", "onnxruntime"],
}
DEFAULT_PEERS = {"train": ["f32-channels-last", "bf16-channels-last"], "infer": ["onnxruntime"]}
BACKENDS = ["flex", "ndarray"]
# More than so many cores kept busy by other processes, or held back by the hypervisor, disturb a run.
DISTURBED = 0.1


def listed(allowed):
    def parse(text):
        names = [name for name in text.split(",") if name]
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(allowed)}")
        return names

    return parse


def task(text):
    kind, backbone, batch = (text.split(":") + ["", ""])[:3]
    if text.count(":") != 2 or kind not in PEERS or not backbone or not batch.isdecimal() or int(batch) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not train|infer:BACKBONE:BATCH, such as {TASKS[0]}")
    return kind, backbone, int(batch)


def arguments():
    parser = argparse.ArgumentParser(prog="compare.sh", description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", type=task, metavar="TASK",
                        help=f"train|infer:BACKBONE:BATCH; without any: {' '.join(TASKS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="measured time of each run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backends", type=listed(BACKENDS), default=["flex"], metavar="LIST",
                        help=f"facegrad's, of {', '.join(BACKENDS)}")
    parser.add_argument("--train-peers", type=listed(PEERS["train"]), default=DEFAULT_PEERS["train"],
                        metavar="LIST", help=f"of {', '.join(PEERS['train'])}")
    parser.add_argument("--infer-peers", type=listed(PEERS["infer"]), default=DEFAULT_PEERS["infer"],
                        metavar="LIST", help=f"of {', '.join(PEERS['infer'])}")
    parser.add_argument("--only", choices=["facegrad", "peer"], help="run one side alone, without ratios")
    parser.add_argument("--memory", action="store_true",
                        help="add columns that compare peak memory, whole and without the peer's libraries")
    parser.add_argument("--facegrad", default=os.environ.get("FACEGRAD"), metavar="PROGRAM",
                        help="also FACEGRAD in the environment; otherwise the release build of this checkout")
    parser.add_argument("--facegrad-args", type=shlex.split, default=[], metavar="ARGS",
                        help="more arguments for facegrad bench, in one word")
    parser.add_argument("--python", default=os.environ.get("PEER_PYTHON"), metavar="PROGRAM",
                        help="Python with the peers; also PEER_PYTHON; otherwise that of pytorch/.venv")
    parser.add_argument("--quiet", type=float, default=0.0, metavar="SECONDS",
                        help="wait so long before each run for other processes to be idle, and repeat the run "
                             "within that time if they disturbed it")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds after which a run has failed")
    parser.add_argument("--output", type=Path, default=HERE.parent / "target/benches/compare",
                        help="where the results go, less the endings .md and .json")
    args = parser.parse_args()
    if args.rounds < 1 or args.threads < 1 or args.seconds <= 0:
        parser.error("rounds and threads are at least 1, and seconds more than 0")
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    args.facegrad = args.facegrad or str(target / "release/facegrad")
    args.python = args.python or str(HERE / "pytorch/.venv/bin/python")
    args.tasks = args.tasks or [task(text) for text in TASKS]
    return args


def busy_seconds():
    """Core-seconds that this machine was busy so far, with those that the hypervisor gave to others."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run(command, expected, timeout):
    """Runs a program that prints one JSON object with the values `expected`.

    The object is returned with `other_cores`, the mean number of cores that anything but this program kept
    busy; where there is none, an object with `error` alone, the reason."""
    times, start, busy = os.times(), time.monotonic(), busy_seconds()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except OSError as error:
        return {"error": f"{command[0]}: {error.strerror}"}
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {timeout:.0f} s"}
    used = os.times()
    own = used.children_user + used.children_system - times.children_user - times.children_system
    others = max(0.0, busy_seconds() - busy - own) / (time.monotonic() - start)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"error": f"exit status {done.returncode}: {lines[-1]}"}
    try:
        result = json.loads(done.stdout)
        float(result["images_per_second"]), int(result["peak_memory_bytes"])
    except (ValueError, KeyError, TypeError) as error:
        return {"error": f"its output is not the expected JSON: {error!r}"}
    for key, value in expected.items():
        if result.get(key) != value:
            return {"error": f"it measured {key} {result.get(key)} in place of {value}"}
    return result | {"other_cores": round(others, 3)}


def run_quietly(command, expected, args):
    """As [`run`]; with --quiet it waits for other processes to end their work first, and repeats a run that
    they disturbed."""
    deadline = time.monotonic() + args.quiet
    while True:
        while args.quiet and time.monotonic() < deadline and others_busy(2.0) > DISTURBED:
            pass
        result = run(command, expected, args.timeout)
        if result.get("other_cores", 0) <= DISTURBED or time.monotonic() >= deadline:
            return result


def others_busy(seconds):
    """The mean number of busy cores while this program sleeps."""
    busy, start = busy_seconds(), time.monotonic()
    time.sleep(seconds)
    return (busy_seconds() - busy) / (time.monotonic() - start)


def commands(args, kind, backbone, batch):
    """What to run for a task, by side and name."""
    common = ["--backbone", backbone, "--batch", str(batch), "--threads", str(args.threads),
              "--seconds", str(args.seconds), "--json"]
    peers = args.train_peers if kind == "train" else args.infer_peers
    facegrad = {
        backend: [args.facegrad, "bench", kind, "--backend", backend, *common, *args.facegrad_args]
        for backend in (args.backends if args.only != "peer" else [])
    }
    measure = str(HERE / "pytorch/measure.py")
    peer = {
        mode: [args.python, measure, kind, "--mode", mode, *common]
        for mode in (peers if args.only != "facegrad" else [])
    }
    return {"facegrad": facegrad, "peer": peer}


def exported(args):
    """Exports the networks that ONNX Runtime needs before anything is measured."""
    if args.only == "facegrad" or "onnxruntime" not in args.infer_peers:
        return
    for backbone in sorted({backbone for kind, backbone, _ in args.tasks if kind == "infer"}):
        command = [args.python, str(HERE / "pytorch/measure.py"), "infer", "--mode", "onnxruntime",
                   "--backbone", backbone, "--batch", "1", "--steps", "1", "--json"]
        result = run(command, {}, args.timeout)
        if "error" in result:
            print(f"{backbone} in ONNX Runtime: {result['error']}", file=sys.stderr)


def compare(args, kind, backbone, batch):
    """All runs of a task: by side and name, one result a round."""
    sides = commands(args, kind, backbone, batch)
    expected = {"task": kind, "backbone": backbone, "batch": batch, "threads": args.threads}
    runs = {side: {name: [] for name in programs} for side, programs in sides.items()}
    for number in range(args.rounds):
        for side, programs in sides.items():
            for name, command in programs.items():
                result = run_quietly(command, expected, args)
                runs[side][name].append(result)
                outcome = result.get("error") or (
                    f"{result['images_per_second']:.2f} img/s, {mebibytes(result['peak_memory_bytes'])}, "
                    f"others {result['other_cores']:.2f} cores"
                )
                print(f"{kind} {backbone} {batch}, round {number + 1}, {side} {name}: {outcome}",
                      file=sys.stderr, flush=True)
    return {"task": kind, "backbone": backbone, "batch": batch, "runs": runs,
            "ratios": ratios(runs)}


def ratios(runs):
    """For each pair of a facegrad backend and a peer the ratios of the rounds in which both ran, of speed, of
    peak memory, and of peak memory less what the peer's libraries take on their own."""
    found = []
    for backend, ours in runs["facegrad"].items():
        for peer, theirs in runs["peer"].items():
            pairs = [(a, b) for a, b in zip(ours, theirs) if "error" not in a and "error" not in b]
            if not pairs:
                continue
            net = [a["peak_memory_bytes"] / max(1, b["peak_memory_bytes"] - b.get("library_memory_bytes", 0))
                   for a, b in pairs]
            found.append({
                "backend": backend,
                "peer": peer,
                "speed": summary([a["images_per_second"] / b["images_per_second"] for a, b in pairs]),
                "memory": summary([a["peak_memory_bytes"] / b["peak_memory_bytes"] for a, b in pairs]),
                "memory_without_libraries": summary(net),
            })
    return found


def summary(values):
    return {"minimum": min(values), "median": statistics.median(values), "maximum": max(values)}


def mebibytes(count):
    return f"{count / 2**20:.0f} MiB"


def cells(runs):
    """Median speed and largest peak memory of the runs that succeeded."""
    good = [run for run in runs if "error" not in run]
    if not good:
        return ["failed", "failed"]
    speed = statistics.median(run["images_per_second"] for run in good)
    return [f"{speed:.2f}", mebibytes(max(run["peak_memory_bytes"] for run in good))]


def rows(result, memory):
    """The lines of the table for one task: a pair each, or, with one side only, a program each."""
    ours, theirs = result["runs"]["facegrad"], result["runs"]["peer"]
    start = [f"{result['task']} {result['backbone']}", str(result["batch"])]
    blank = ["–", "–"]
    pairs = [(a, b) for a in ours or [None] for b in theirs or [None]]
    for backend, peer in pairs:
        ratio = next((r for r in result["ratios"] if (r["backend"], r["peer"]) == (backend, peer)), None)
        keys = ("minimum", "median", "maximum")
        speed = ["–"] * 3 if ratio is None else [f"{ratio['speed'][key]:.2f}" for key in keys]
        row = [*start, backend or "–", peer or "–", *speed]
        left, right = (cells(runs[name]) if name else blank for runs, name in ((ours, backend), (theirs, peer)))
        row += [left[0], right[0], left[1], right[1]]
        if memory:
            keys = ("memory", "memory_without_libraries")
            row += ["–"] * 2 if ratio is None else [f"{ratio[key]['median']:.2f}" for key in keys]
        yield row


def every_run(results):
    return [run for result in results for side in result["runs"].values() for runs in side.values() for run in runs]


def markdown(args, machine, results):
    heads = ["task", "batch", "facegrad", "peer", "ratio, min", "median", "max", "facegrad img/s", "peer img/s",
             "facegrad memory", "peer memory"]
    if args.memory:
        heads += ["memory ratio", "without libraries"]
    everything = every_run(results)
    disturbed = sum(run.get("other_cores", 0) > DISTURBED for run in everything)
    versions = sorted({run["version"] for run in everything if "version" in run})
    text = [
        f"{machine['processor']}, {machine['cores']} cores ({' '.join(machine['extensions'])}), "
        f"{args.threads} threads. {args.rounds} rounds of {args.seconds:g} s. {', '.join(versions)}",
        "",
        "Speed: median over rounds of each run's median step. Ratio: facegrad over peer in the same round. "
        "Memory: peak resident memory of the process, the largest of the rounds.",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "|".join(["---", "--:", "---", "---"] + ["--:"] * (len(heads) - 4)) + "|",
    ]
    text += ["| " + " | ".join(row) + " |" for result in results for row in rows(result, args.memory)]
    if disturbed:
        text += ["", f"Disturbed: in {disturbed} of {len(everything)} runs other processes used more than "
                     f"{DISTURBED} cores."]
    return "\n".join(text) + "\n"


def machine():
    info = dict(
        [part.strip() for part in line.split(":", 1)]
        for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line
    )
    flags = info.get("flags", "").split()
    extensions = [name for name in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    processor = info.get("model name", "unknown processor")
    return {"processor": processor, "cores": os.cpu_count(), "extensions": extensions}


def write(path, text):
    """Writes under another name first, so that a file is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main():
    args = arguments()
    here = machine()
    exported(args)
    results = []
    for kind, backbone, batch in args.tasks:
        results.append(compare(args, kind, backbone, batch))
        # After each task, so that an interrupted comparison keeps what it has.
        table = markdown(args, here, results)
        settings = {"threads": args.threads, "rounds": args.rounds, "seconds": args.seconds,
                    "facegrad_args": args.facegrad_args}
        write(args.output.with_name(args.output.name + ".json"),
              json.dumps({"machine": here, "settings": settings, "tasks": results}, indent=1) + "\n")
        write(args.output.with_name(args.output.name + ".md"), table)
    print(table, end="")
    failed = sum("error" in run for run in every_run(results))
    if failed:
        sys.exit(f"{failed} runs failed")


if __name__ == "__main__":
    main()
