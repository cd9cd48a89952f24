"""Compares facegrad's loader with pipelines of torchvision and OpenCV: JPEG files in, batches of augmented images out.

    python loader.py FOLDER                        FOLDER has one folder of JPEGs an identity
    python loader.py FOLDER --seconds 5 --rounds 7 --augmentations flip,heavy

Every program runs on one core, in a process of its own, one after the other, and again for each round: A B A B. A
ratio is facegrad's images for each second that the core worked over the peer's in the same round. Each program reads
the same files, in an order that is shuffled anew, and makes batches of 112x112 RGB bytes in one piece of memory.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIDE = 112
# In each: facegrad's keys. The peers do the same with the same probabilities and ranges, in `Torchvision` and `OpenCv`.
AUGMENTATIONS = {
    "none": {"flip": 0.0},
    "flip": {"flip": 0.5},
    "heavy": {"flip": 0.5, "crop": 1.0, "crop_scale": 0.6, "colour_jitter": 0.5, "low_resolution": 0.5, "blur": 0.5},
}
STRENGTH = 0.2  # of brightness, contrast and saturation: facegrad's default
SMALLEST = 0.2  # share of the sides that low resolution shrinks to: facegrad's default
SIGMA = 2.0  # largest standard deviation of the blur: facegrad's default
PEERS = ["torchvision", "torchvision-simplejpeg", "torchvision-pil", "opencv"]


def drawn_sigma():
    """A standard deviation from above 0 to SIGMA, and a kernel that reaches three of them to each side."""
    sigma = SIGMA * (1.0 - random.random())
    return sigma, 2 * math.ceil(3 * sigma) + 1


def drawn_crop(keys):
    """Left, top, width and height of a part with at least `crop_scale` of the area, sides from 3:4 to 4:3."""
    area, ratio = random.uniform(keys["crop_scale"], 1.0), math.exp(random.uniform(-1.0, 1.0) * math.log(4 / 3))
    width, height = (round(SIDE * min(1.0, math.sqrt(area * r))) for r in (ratio, 1 / ratio))
    return random.randint(0, SIDE - width), random.randint(0, SIDE - height), width, height


class Torchvision:
    """torchvision.io and torchvision.transforms.v2 on tensors [3, height, width]."""

    def __init__(self, reader, keys):
        import numpy
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg, read_file
        from torchvision.transforms import InterpolationMode, v2

        torch.set_num_threads(1)
        self.torch = torch
        if reader == "simplejpeg":
            import simplejpeg

            def read(path):
                with open(path, "rb") as file:
                    return torch.from_numpy(simplejpeg.decode_jpeg(file.read())).permute(2, 0, 1)
        elif reader == "pil":
            from PIL import Image

            def read(path):
                with Image.open(path) as image:
                    return torch.from_numpy(numpy.array(image.convert("RGB"))).permute(2, 0, 1)
        else:

            def read(path):
                return decode_jpeg(read_file(path), mode=ImageReadMode.RGB)

        self.read = read
        F = v2.functional
        kernels = [InterpolationMode.NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC]

        class LowResolution(v2.Transform):
            def transform(self, image, params):
                side = max(1, round(SIDE * random.uniform(SMALLEST, 1.0)))
                image = F.resize(image, [side, side], interpolation=random.choice(kernels), antialias=True)
                return F.resize(image, [SIDE, SIDE], interpolation=random.choice(kernels), antialias=True)

        class Blur(v2.Transform):
            def transform(self, image, params):
                sigma, size = drawn_sigma()
                return F.gaussian_blur(image, [size, size], [sigma, sigma])

        steps = []
        if keys["flip"]:
            steps.append(v2.RandomHorizontalFlip(keys["flip"]))
        if keys.get("crop"):
            steps.append(v2.RandomResizedCrop((SIDE, SIDE), scale=(keys["crop_scale"], 1.0), antialias=True))
        if keys.get("low_resolution"):
            steps.append(v2.RandomApply([LowResolution()], keys["low_resolution"]))
        if keys.get("blur"):
            steps.append(v2.RandomApply([Blur()], keys["blur"]))
        if keys.get("colour_jitter"):
            steps.append(v2.RandomApply([v2.ColorJitter(STRENGTH, STRENGTH, STRENGTH)], keys["colour_jitter"]))
        self.transform = v2.Compose(steps) if steps else lambda image: image

    def batch(self, paths):
        batch = self.torch.empty(len(paths), 3, SIDE, SIDE, dtype=self.torch.uint8)
        for slot, path in zip(batch, paths):
            slot.copy_(self.transform(self.read(path)))
        return batch


class OpenCv:
    """cv2.imread and cv2 on arrays [height, width, 3]."""

    def __init__(self, keys):
        import cv2
        import numpy

        cv2.setNumThreads(1)
        self.cv2, self.numpy, self.keys = cv2, numpy, keys
        self.kernels = [cv2.INTER_NEAREST, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC]
        self.values = numpy.arange(256, dtype=numpy.float32)

    def transform(self, image):
        cv2, numpy, keys = self.cv2, self.numpy, self.keys
        if random.random() < keys["flip"]:
            image = cv2.flip(image, 1)
        if random.random() < keys.get("crop", 0):
            left, top, width, height = drawn_crop(keys)
            image = cv2.resize(image[top : top + height, left : left + width], (SIDE, SIDE))
        if random.random() < keys.get("low_resolution", 0):
            side = max(1, round(SIDE * random.uniform(SMALLEST, 1.0)))
            image = cv2.resize(image, (side, side), interpolation=random.choice(self.kernels))
            image = cv2.resize(image, (SIDE, SIDE), interpolation=random.choice(self.kernels))
        if random.random() < keys.get("blur", 0):
            sigma, size = drawn_sigma()
            image = cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)
        if random.random() < keys.get("colour_jitter", 0):
            brightness, contrast, saturation = (random.uniform(1 - STRENGTH, 1 + STRENGTH) for _ in range(3))
            mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
            table = brightness * (contrast * self.values + (1 - contrast) * mean)
            image = cv2.LUT(image, numpy.clip(numpy.rint(table), 0, 255).astype(numpy.uint8))
            grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            image = cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)
        return image

    def batch(self, paths):
        batch = self.numpy.empty((len(paths), SIDE, SIDE, 3), self.numpy.uint8)
        for slot, path in zip(batch, paths):
            slot[:] = self.transform(self.cv2.imread(path, self.cv2.IMREAD_COLOR_RGB))
        return batch


def measure_peer(peer, folder, keys, batch, seconds):
    """Prints images for each second of work of this process, as JSON."""
    name, _, reader = peer.partition("-")
    pipeline = OpenCv(keys) if name == "opencv" else Torchvision(reader, keys)
    paths = sorted(str(path) for path in Path(folder).glob("*/*.jp*g"))
    batch = min(batch, len(paths))
    images, first = 0, None
    while first is None or time.monotonic() - first[0] < seconds:
        random.shuffle(paths)
        for begin in range(0, len(paths) - batch + 1, batch):
            pipeline.batch(paths[begin : begin + batch])
            # The first two batches warm up.
            if first is None and begin >= batch * min(1, len(paths) // batch - 1):
                first = time.monotonic(), time.process_time()
            elif first is not None:
                images += batch
                if time.monotonic() - first[0] >= seconds:
                    break
    wall, work = time.monotonic() - first[0], time.process_time() - first[1]
    print(json.dumps({"images_per_second": images / wall, "images_per_core_second": images / work}))


def run(command, core, environment):
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment,
                          preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with status {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)["images_per_core_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--augmentations", default=",".join(AUGMENTATIONS), metavar="LIST")
    parser.add_argument("--peers", default=",".join(PEERS), metavar="LIST")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core that all run on")
    parser.add_argument("--facegrad", metavar="PROGRAM",
                        default=os.environ.get("FACEGRAD", Path(__file__).parent.parent / "target/release/facegrad"))
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        keys = AUGMENTATIONS[args.augmentations]
        return measure_peer(args.peer, args.folder, keys, args.batch, args.seconds)

    single = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    peers = args.peers.split(",")
    print("| augmentation | beside | ratio: least | median | most | images/s of a core | theirs |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name in args.augmentations.split(","):
        sets = [f"--set=augmentation.{key}={value}" for key, value in AUGMENTATIONS[name].items()]
        own = [args.facegrad, "bench", "loader", "--images", args.folder, "--batch", str(args.batch), "--threads", "1",
               "--seconds", str(args.seconds), "--json", *sets]
        results = {peer: [] for peer in peers}
        for _ in range(args.rounds):
            for peer in peers:
                other = [sys.executable, __file__, args.folder, "--peer", peer, "--augmentations", name,
                         "--seconds", str(args.seconds), "--batch", str(args.batch)]
                results[peer].append((run(own, args.core, {}), run(other, args.core, single)))
        for peer, pairs in results.items():
            ratios = sorted(ours / theirs for ours, theirs in pairs)
            ours, theirs = (statistics.median(side) for side in zip(*pairs))
            print(f"| {name} | {peer} | {ratios[0]:.2f} | **{statistics.median(ratios):.2f}** | {ratios[-1]:.2f} "
                  f"| {ours:,.0f} | {theirs:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
