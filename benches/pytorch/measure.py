"""Measures one task of one network in PyTorch or ONNX Runtime, on the CPU, in this process alone.

The figures are the median over the steps and the peak resident memory of the process, so that one process
measures one mode. Train is a full step: forward pass, ArcFace head, backward pass, SGD with momentum.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIZE = 112
MODES = {
    "train": ["f32", "f32-channels-last", "bf16-channels-last"],
    "infer": ["f32-channels-last", "onnxruntime"],
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=MODES)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--batch", type=int, required=True, help="images a step")
    modes = "; ".join(f"{task}: {', '.join(names)}" for task, names in MODES.items())
    parser.add_argument("--mode", default="f32-channels-last", help=modes)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--classes", type=int, default=1000, help="identities of the head when training")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure, after the warm-up")
    parser.add_argument("--steps", type=int, help="measure so many steps, however long they take")
    parser.add_argument("--warmup", type=int, default=2, help="steps before the measurement")
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[2] / "target/benches/models",
                        help="folder where exported ONNX files are kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.mode not in MODES[args.task]:
        parser.error(f"mode {args.mode} is none of {args.task}'s: {', '.join(MODES[args.task])}")
    if args.batch < (2 if args.task == "train" else 1) or args.threads < 1 or args.warmup < 1:
        parser.error("batch, threads and warmup are at least 1, and batch at least 2 when training")
    if args.steps is not None and args.steps < 1:
        parser.error("steps is at least 1")
    return args


def memory(field):
    """A field of the kernel's account of this process, in bytes: VmRSS is now, VmHWM the most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def train_step(args):
    """A function that does one training step and returns the loss; the version of what it measures; and the
    memory that the libraries alone take."""
    import torch
    from torch import nn
    from torch.nn import functional

    import networks

    torch.set_num_threads(args.threads)
    imported = memory("VmHWM")
    net = networks.network(args.backbone).train()
    centres = nn.Parameter(torch.randn(args.classes, networks.embedding_size(net)) * 0.01)
    images = torch.rand(args.batch, 3, SIZE, SIZE) * 2 - 1
    labels = torch.randint(args.classes, (args.batch,))
    if "channels-last" in args.mode:
        net, images = (x.to(memory_format=torch.channels_last) for x in (net, images))
    trained = [p for p in net.parameters() if p.requires_grad] + [centres]
    optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=5e-4)

    def arcface(embeddings, margin=0.5, scale=64.0):
        cosines = functional.linear(functional.normalize(embeddings), functional.normalize(centres))
        target = cosines.gather(1, labels[:, None]).clamp(-1 + 1e-7, 1 - 1e-7)
        logits = cosines.scatter(1, labels[:, None], torch.cos(torch.acos(target) + margin))
        return functional.cross_entropy(logits * scale, labels)

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.mode.startswith("bf16")):
            embeddings = net(images)
        loss = arcface(embeddings.float())
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, f"torch {torch.__version__}", imported


def infer_step(args):
    """As [`train_step`], for embedding a batch in PyTorch; the function returns one number of the result."""
    import torch

    import networks

    torch.set_num_threads(args.threads)
    imported = memory("VmHWM")
    net = networks.network(args.backbone).eval().to(memory_format=torch.channels_last)
    images = (torch.rand(args.batch, 3, SIZE, SIZE) * 2 - 1).to(memory_format=torch.channels_last)

    def step():
        with torch.inference_mode():
            return net(images)[0, 0].item()

    return step, f"torch {torch.__version__}", imported


def onnxruntime_step(args):
    """As [`infer_step`], in ONNX Runtime. The export runs in another process, so that this one never loads
    PyTorch and its memory is that of ONNX Runtime."""
    model = args.models / f"{args.backbone}.onnx"
    source = Path(__file__).with_name("networks.py")
    if not model.exists() or model.stat().st_mtime < source.stat().st_mtime:
        export = Path(__file__).with_name("export.py")
        subprocess.run([sys.executable, export, args.backbone, model], check=True, stdout=sys.stderr)

    import numpy
    import onnxruntime

    imported = memory("VmHWM")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("batch", args.batch)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    images = numpy.random.default_rng(0).uniform(-1, 1, (args.batch, 3, SIZE, SIZE)).astype(numpy.float32)

    def step():
        return float(session.run(None, {"images": images})[0][0, 0])

    return step, f"onnxruntime {onnxruntime.__version__}", imported


def measure(args):
    if args.task == "train":
        step, version, imported = train_step(args)
    elif args.mode == "onnxruntime":
        step, version, imported = onnxruntime_step(args)
    else:
        step, version, imported = infer_step(args)
    for _ in range(args.warmup):
        value = step()
    seconds, largest = [], 0
    start = time.perf_counter()
    while len(seconds) < args.steps if args.steps else time.perf_counter() - start < args.seconds:
        before = time.perf_counter()
        value = step()
        seconds.append(time.perf_counter() - before)
        largest = max(largest, memory("VmRSS"))
    if value != value:
        sys.exit(f"the {args.task} step of {args.backbone} gave NaN")
    peak = memory("VmHWM")
    # The kernel's high-water mark can be set back; the account of the resources used cannot.
    if peak < largest or peak < 0.99 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024:
        sys.exit("the peak memory of this process was reset while it ran")
    median = statistics.median(seconds)
    return {
        "task": args.task,
        "backbone": args.backbone,
        "batch": args.batch,
        "mode": args.mode,
        "backend": version.partition(" ")[0],
        "version": version,
        "threads": args.threads,
        "images_per_second": args.batch / median,
        "peak_memory_bytes": peak,
        "library_memory_bytes": imported,
        "steps": len(seconds),
        "step_seconds": {"minimum": min(seconds), "median": median, "maximum": max(seconds)},
    }


def main():
    args = arguments()
    # Read by the libraries when they load.
    threads = str(args.threads)
    os.environ |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}
    result = measure(args)
    if args.json:
        print(json.dumps(result))
    else:
        print(f"{args.task} {args.backbone}, batch {args.batch}, {args.mode}, {args.threads} threads, "
              f"{result['version']}: {result['images_per_second']:.2f} img/s (median of {result['steps']} steps), "
              f"peak memory {result['peak_memory_bytes'] / 2**20:.0f} MiB, "
              f"of which libraries {result['library_memory_bytes'] / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
