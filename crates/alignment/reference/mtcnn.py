"""Reference numbers for src/mtcnn: the networks and the whole detector in numpy, in float64.

Run with Python 3.11 and numpy 2.4:

    python mtcnn.py                                   writes mtcnn.json: made-up weights
    python mtcnn.py WEIGHTS FACES.png OUT.json        the same with pnet/rnet/onet.safetensors of a folder, on a picture

Weights, inputs and the picture of the first kind follow from a formula that the test computes, too.
Nothing here is derived from the Rust code; the description of the method is in Zhang et al. 2016 and in the
documentation of `facegrad_alignment::Mtcnn`.
"""

import json
import struct
import sys
import zlib

import numpy as np

CELL, STRIDE, FACTOR, THRESHOLDS = 12, 2, 0.709, (0.6, 0.7, 0.7)

# Added to the last bias of made-up weights, so that some rectangles pass.
LIFTS = {"pnet": 0.375, "rnet": 0.875, "onet": -0.125}

LAYERS = {
    "pnet": [("features.conv1", (10, 3, 3, 3)), ("features.prelu1", (10,)), ("features.conv2", (16, 10, 3, 3)),
             ("features.prelu2", (16,)), ("features.conv3", (32, 16, 3, 3)), ("features.prelu3", (32,)),
             ("conv4_1", (2, 32, 1, 1)), ("conv4_2", (4, 32, 1, 1))],
    "rnet": [("features.conv1", (28, 3, 3, 3)), ("features.prelu1", (28,)), ("features.conv2", (48, 28, 3, 3)),
             ("features.prelu2", (48,)), ("features.conv3", (64, 48, 2, 2)), ("features.prelu3", (64,)),
             ("features.conv4", (128, 576)), ("features.prelu4", (128,)), ("conv5_1", (2, 128)),
             ("conv5_2", (4, 128))],
    "onet": [("features.conv1", (32, 3, 3, 3)), ("features.prelu1", (32,)), ("features.conv2", (64, 32, 3, 3)),
             ("features.prelu2", (64,)), ("features.conv3", (64, 64, 3, 3)), ("features.prelu3", (64,)),
             ("features.conv4", (128, 64, 2, 2)), ("features.prelu4", (128,)), ("features.conv5", (256, 1152)),
             ("features.prelu5", (256,)), ("conv6_1", (2, 256)), ("conv6_2", (4, 256)), ("conv6_3", (10, 256))],
}


def noise(seed, count):
    """Numbers from -1 to 1, exact in float32: three rounds of a 32-bit hash of seed and index."""
    x = (np.arange(count, dtype=np.uint64) + np.uint64(seed * 1_000_003)) & np.uint64(0xFFFFFFFF)
    for _ in range(3):
        x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x45D9F3B)) & np.uint64(0xFFFFFFFF)
    return (x >> np.uint64(8)).astype(np.float64) / (1 << 23) - 1.0


def made_up():
    """Weights from -a to a, where a keeps the size of what passes; slopes around 1/4; biases of the last layers that
    let some rectangles pass."""
    nets = {}
    for n, (net, layers) in enumerate(LAYERS.items()):
        tensors = {}
        for k, (name, shape) in enumerate(layers):
            seed, count = n * 100 + k * 2, int(np.prod(shape))
            values = noise(seed, count)
            if "prelu" in name:
                tensors[f"{name}.weight"] = (0.25 + values / 8).astype(np.float32)
                continue
            reach = 2.0 ** round(np.log2(np.sqrt(3.0 / (count // shape[0]))))
            if name.startswith("conv"):
                reach /= 4 if shape[0] != 2 else 1
            tensors[f"{name}.weight"] = (values * reach).astype(np.float32).reshape(shape)
            bias = (noise(seed + 1, shape[0]) / 8).astype(np.float32)
            if shape[0] == 2:
                bias[1] += LIFTS[net]
            tensors[f"{name}.bias"] = bias
        nets[net] = {name: value.astype(np.float64) for name, value in tensors.items()}
    return nets


def read_safetensors(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        first, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + first:8 + length + end], "<f4")
        tensors[name] = values.reshape(entry["shape"]).astype(np.float64)
    return tensors


def conv(x, tensors, name):
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("bchwij,ocij->bohw", windows, weight, optimize=True) + bias[None, :, None, None]


def prelu(x, tensors, name):
    slope = tensors[f"{name}.weight"].reshape((1, -1) + (1,) * (x.ndim - 2))
    return np.where(x > 0, x, slope * x)


def pool(x, kernel):
    """Strides of 2; a block that begins within the map counts, as in Caffe and with PyTorch's ceil_mode."""
    size = [-(-(side - kernel) // 2) + 1 for side in x.shape[2:]]
    out = np.empty(x.shape[:2] + tuple(size))
    for i in range(size[0]):
        for j in range(size[1]):
            out[:, :, i, j] = x[:, :, 2 * i:2 * i + kernel, 2 * j:2 * j + kernel].max(axis=(2, 3))
    return out


def linear(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def flat(x):
    """Channel, column, row."""
    return x.transpose(0, 1, 3, 2).reshape(len(x), -1)


def pnet(x, t):
    x = pool(prelu(conv(x, t, "features.conv1"), t, "features.prelu1"), 2)
    x = prelu(conv(x, t, "features.conv2"), t, "features.prelu2")
    x = prelu(conv(x, t, "features.conv3"), t, "features.prelu3")
    return conv(x, t, "conv4_1"), conv(x, t, "conv4_2")


def rnet(x, t):
    x = pool(prelu(conv(x, t, "features.conv1"), t, "features.prelu1"), 3)
    x = pool(prelu(conv(x, t, "features.conv2"), t, "features.prelu2"), 3)
    x = prelu(conv(x, t, "features.conv3"), t, "features.prelu3")
    x = prelu(linear(flat(x), t, "features.conv4"), t, "features.prelu4")
    return linear(x, t, "conv5_1"), linear(x, t, "conv5_2")


def onet(x, t):
    x = pool(prelu(conv(x, t, "features.conv1"), t, "features.prelu1"), 3)
    x = pool(prelu(conv(x, t, "features.conv2"), t, "features.prelu2"), 3)
    x = pool(prelu(conv(x, t, "features.conv3"), t, "features.prelu3"), 2)
    x = prelu(conv(x, t, "features.conv4"), t, "features.prelu4")
    x = prelu(linear(flat(x), t, "features.conv5"), t, "features.prelu5")
    return linear(x, t, "conv6_1"), linear(x, t, "conv6_2"), linear(x, t, "conv6_3")


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e[:, 1] / e.sum(axis=1)


def halved(picture):
    """Means of blocks of 2 x 2, rounded to the nearest; at an odd edge, of what there is."""
    height, width = picture.shape[:2]
    out = np.zeros(((height + 1) // 2, (width + 1) // 2, 3))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = np.floor(picture[2 * i:2 * i + 2, 2 * j:2 * j + 2].mean(axis=(0, 1)) + 0.5)
    return out


def axis_matrix(start, end, source, target, black):
    """Weights of the old pixels for each new one: a triangle as wide as two new pixels, at least two old ones."""
    scale = (end - start) / target
    reach = max(scale, 1.0)
    centres = start + (np.arange(target) + 0.5) * scale - 0.5
    margin = int(reach) + 2
    low, high = int(np.floor(min(0, centres.min()))) - margin, int(np.ceil(max(source, centres.max()))) + margin
    places = np.arange(low, high)
    weights = np.maximum(0, 1 - np.abs(places[None] - centres[:, None]) / reach)
    inside = weights[:, -low:-low + source]
    total = (weights if black else inside).sum(axis=1, keepdims=True)
    return inside / total


def resample(picture, window, size, black):
    """`window` (left, top, right, bottom) of the picture at `size` (height, width). Before it is shrunk by a factor
    of 4 and more, it is halved, so that a factor from 2 to 4 is left."""
    left, top, right, bottom = window
    shrink = min((right - left) / size[1], (bottom - top) / size[0])
    scale = 1.0
    while shrink >= 4 and max(picture.shape[:2]) > 1:
        picture, shrink, scale = halved(picture), shrink / 2, scale / 2
    rows = axis_matrix(top * scale, bottom * scale, picture.shape[0], size[0], black)
    columns = axis_matrix(left * scale, right * scale, picture.shape[1], size[1], black)
    return np.einsum("iy,yxc,jx->cij", rows, picture, columns, optimize=True)


def centred(values):
    return (values - 127.5) / 128


margins = []


def suppress(boxes, scores, threshold, smaller=False):
    """A little more than the threshold: squares on a grid overlap by a half exactly."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    area = lambda b: (b[2] - b[0]) * (b[3] - b[1])
    for i in order:
        good = True
        for k in kept:
            a, b = boxes[k], boxes[i]
            common = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
            part = common / (min(area(a), area(b)) if smaller else area(a) + area(b) - common)
            margins.append(abs(part - threshold - 1e-4))
            if part > threshold + 1e-4:
                good = False
                break
        if good:
            kept.append(i)
    return kept


def corrected(boxes, offsets):
    side = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], axis=1)
    return boxes + offsets * np.concatenate([side, side], axis=1)


def usable(boxes, picture):
    height, width = picture.shape[:2]
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    most = 4 * max(height, width)
    return ((w >= 1) & (h >= 1) & (w <= most) & (h <= most) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
            & (boxes[:, 0] < width) & (boxes[:, 1] < height))


def squared(boxes):
    half = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None] / 2
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def over(scores, threshold):
    margins.extend(np.abs(scores - threshold).ravel())
    return scores > threshold


def detect(picture, nets, min_face):
    height, width = picture.shape[:2]
    boxes, scores, offsets = [], [], []
    scale = CELL / min_face
    while min(height, width) * scale >= CELL:
        h, w = int(np.ceil(height * scale)), int(np.ceil(width * scale))
        x = centred(resample(picture, (0, 0, width, height), (h, w), False))
        face, move = pnet(x[None], nets["pnet"])
        p = softmax(face.reshape(1, 2, -1))[0].reshape(face.shape[2:])
        rows, columns = np.nonzero(over(p, THRESHOLDS[0]))
        level = np.stack([columns * STRIDE * width / w, rows * STRIDE * height / h,
                          (columns * STRIDE + CELL) * width / w, (rows * STRIDE + CELL) * height / h], axis=1)
        kept = suppress(level, p[rows, columns], 0.5)
        boxes += list(level[kept])
        scores += list(p[rows, columns][kept])
        offsets += list(move[0][:, rows, columns].T[kept])
        scale *= FACTOR

    for name, net, side, threshold in [("rnet", rnet, 24, THRESHOLDS[1]), ("onet", onet, 48, THRESHOLDS[2])]:
        if len(boxes) == 0:
            return []
        boxes, scores, offsets = np.array(boxes), np.array(scores), np.array(offsets)
        kept = suppress(boxes, scores, 0.7)
        boxes = corrected(boxes[kept], offsets[kept])
        boxes = squared(boxes[usable(boxes, picture)])
        x = np.stack([centred(resample(picture, box, (side, side), True)) for box in boxes])
        face, offsets, *landmarks = net(x, nets[name])
        scores = softmax(face)
        good = over(scores, threshold)
        boxes, scores, offsets = boxes[good], scores[good], offsets[good]
        landmarks = landmarks[0][good] if landmarks else None
    side = boxes[:, 2:] - boxes[:, :2]
    points = np.stack([boxes[:, :1] + side[:, :1] * landmarks[:, :5] - 0.5,
                       boxes[:, 1:2] + side[:, 1:] * landmarks[:, 5:] - 0.5], axis=2)
    bounds = corrected(boxes, offsets)
    good = usable(bounds, picture)
    points, bounds, scores = points[good], bounds[good], scores[good]
    kept = suppress(bounds, scores, 0.7, smaller=True)
    # A second look, at the square around each face.
    squares = squared(bounds)
    side = squares[:, 2:] - squares[:, :2]
    again = onet(np.stack([centred(resample(picture, box, (48, 48), True)) for box in squares]), nets["onet"])[2]
    again = np.stack([squares[:, :1] + side[:, :1] * again[:, :5] - 0.5,
                      squares[:, 1:2] + side[:, 1:] * again[:, 5:] - 0.5], axis=2)
    points = (points + again) / 2
    return [{"score": float(scores[i]), "bounds": bounds[i].tolist(), "landmarks": points[i].ravel().tolist()}
            for i in kept]


def blobs(height, width):
    """A picture with smooth and sharp parts, exact in integers."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((x * x + y * y * 2 + x * y * (c + 1)) // 16 + (x // 8 + y // 8) % 2 * 60) % 256


def read_png(path):
    """An 8-bit RGB picture without interlacing, which is what facegrad writes."""
    data, at, packed = open(path, "rb").read(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, *rest = struct.unpack(">IIBBBBB", body)
            assert rest == [8, 2, 0, 0, 0]
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    raw = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * 3).astype(int)
    rows = np.zeros((height + 1, width * 3 + 3), int)
    for y in range(height):
        kind, line, above, row = raw[y, 0], raw[y, 1:], rows[y], rows[y + 1]
        for x in range(width * 3):
            a, b, c = row[x], above[x + 3], above[x]
            paeth = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[x + 3] = (line[x] + [0, a, b, (a + b) // 2, paeth][kind]) & 255
    return rows[1:, 3:].reshape(height, width, 3)


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


def outputs(nets):
    """What each network makes of noise: P-Net of maps with even and odd sides, the others of two pictures."""
    results = {}
    for name, net, shape in [("pnet", pnet, (1, 3, 21, 16)), ("rnet", rnet, (2, 3, 24, 24)),
                             ("onet", onet, (2, 3, 48, 48))]:
        x = noise(1000, int(np.prod(shape))).reshape(shape)
        results[name] = [y.ravel().tolist() for y in net(x, nets[name])]
    return results


def main():
    if len(sys.argv) == 1:
        nets = made_up()
        result = {"outputs": outputs(nets), "faces": {}}
        for size in [(60, 75), (49, 40)]:
            found = detect(blobs(*size).astype(np.float64), nets, 16)
            result["faces"]["x".join(map(str, size))] = found
            print(size, len(found), "faces")
        path = "mtcnn.json"
    else:
        nets = {name: read_safetensors(f"{sys.argv[1]}/{name}.safetensors") for name in LAYERS}
        found = detect(read_png(sys.argv[2]).astype(np.float64), nets, 40)
        result, path = {"outputs": outputs(nets), "faces": found}, sys.argv[3]
        print(len(found), "faces")
    print("nearest to a threshold:", min(margins))
    with open(path, "w") as file:
        json.dump(rounded(result), file, indent=None, separators=(",", ":"))
        file.write("\n")


main()
