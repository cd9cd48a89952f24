"""The networks of facegrad-backbones as PyTorch modules, layer for layer.

Run as a program it prints what each network costs and fails if a figure is not that of the literature (the
same figures as in the tests of facegrad-backbones).
"""

import sys

import torch
from torch import nn


def conv(inputs, outputs, kernel=3, stride=1, groups=1):
    """A square convolution without bias, padded so that stride 1 keeps the size of the map."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class Sum(nn.Module):
    """The sum of two branches that start from the same map."""

    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, map):
        return self.shortcut(map) + self.body(map)


class Projection(nn.Sequential):
    """A linear layer on the flattened map and a batch normalisation of the embedding."""

    def __init__(self, inputs, embedding, bias, unit_scale):
        norm = nn.BatchNorm1d(embedding)
        norm.weight.requires_grad = not unit_scale
        super().__init__(nn.Flatten(), nn.Linear(inputs, embedding, bias=bias), norm)


def iresnet_block(inputs, outputs, stride):
    shortcut = nn.Identity()
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
    body = nn.Sequential(
        nn.BatchNorm2d(inputs),
        conv(inputs, outputs),
        nn.BatchNorm2d(outputs),
        nn.PReLU(outputs),
        conv(outputs, outputs, stride=stride),
        nn.BatchNorm2d(outputs),
    )
    return Sum(body, shortcut)


def residual_network(stem_stride, stages, units, embedding):
    """A stem, then `units[i]` blocks of `stages[i]` channels, the first of each stage with stride 2."""
    channels = stages[0]
    layers = [conv(3, channels, stride=stem_stride), nn.BatchNorm2d(channels), nn.PReLU(channels)]
    size = 112 // stem_stride
    for outputs, count in zip(stages, units):
        for unit in range(count):
            layers.append(iresnet_block(channels, outputs, 2 if unit == 0 else 1))
            channels = outputs
        size = (size + 1) // 2
    layers.append(nn.BatchNorm2d(channels))
    return nn.Sequential(*layers, Projection(channels * size * size, embedding, bias=True, unit_scale=True))


def conv_norm_act(inputs, outputs, kernel=3, stride=1, groups=1):
    return [conv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs), nn.PReLU(outputs)]


def bottleneck(inputs, inner, outputs, stride):
    return nn.Sequential(
        *conv_norm_act(inputs, inner, 1),
        *conv_norm_act(inner, inner, 3, stride, inner),
        conv(inner, outputs, 1),
        nn.BatchNorm2d(outputs),
    )


def mobilefacenet(width):
    channels = 64 * width
    layers = [*conv_norm_act(3, channels, stride=2), *conv_norm_act(channels, channels, groups=64)]
    for outputs, first, inner, repeats in [(64, 128, 128, 4), (128, 256, 256, 6), (128, 512, 256, 2)]:
        outputs *= width
        layers.append(bottleneck(channels, first, outputs, 2))
        channels = outputs
        for _ in range(repeats):
            layers.append(Sum(bottleneck(channels, inner, channels, 1), nn.Identity()))
    layers += conv_norm_act(channels, 512, 1)
    layers += [nn.Conv2d(512, 512, 7, groups=512, bias=False), nn.BatchNorm2d(512)]
    return nn.Sequential(*layers, Projection(512, 512, bias=False, unit_scale=False))


STAGES = [64, 128, 256, 512]
NETWORKS = {
    "nano": lambda: residual_network(2, [32, 64, 128, 256], [1, 1, 1, 1], 256),
    "iresnet18": lambda: residual_network(1, STAGES, [2, 2, 2, 2], 512),
    "iresnet34": lambda: residual_network(1, STAGES, [3, 4, 6, 3], 512),
    "iresnet50": lambda: residual_network(1, STAGES, [3, 4, 14, 3], 512),
    "iresnet100": lambda: residual_network(1, STAGES, [3, 13, 30, 3], 512),
    "mobilefacenet": lambda: mobilefacenet(1),
    "mobilefacenet_mbf": lambda: mobilefacenet(2),
}

# Millions of parameters and 10^9 multiply-adds at 112x112, as in the tests of facegrad-backbones.
EXPECTED = {
    "nano": (2.28, None),
    "iresnet18": (24.03, 2.61),
    "iresnet34": (34.14, 4.46),
    "iresnet50": (43.59, 6.31),
    "iresnet100": (65.16, 12.09),
    "mobilefacenet": (1.20, 0.221),
    "mobilefacenet_mbf": (2.06, 0.438),
}


def network(kind):
    """The network of that kind for 112x112 images, with weights of the usual size drawn from seed 0."""
    if kind not in NETWORKS:
        sys.exit(f"no backbone {kind} here; there are {', '.join(NETWORKS)}")
    torch.manual_seed(0)
    net = NETWORKS[kind]()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return net


def embedding_size(net):
    return net[-1][1].out_features


def cost(kind):
    """Parameters and multiply-adds of the convolutions and linear layers for one 112x112 image."""
    with torch.device("meta"):
        net = NETWORKS[kind]().eval()
    total = 0

    def count(layer, _, output):
        nonlocal total
        positions = output[0, 0].numel()
        total += layer.weight.numel() * positions

    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    net(torch.zeros(1, 3, 112, 112, device="meta"))
    return sum(p.numel() for p in net.parameters()), total


def main():
    wrong = []
    for kind, (millions, billions) in EXPECTED.items():
        parameters, multiply_adds = cost(kind)
        print(f"{kind:18} {parameters:>11} parameters {multiply_adds:>12} multiply-adds")
        places = 0.0005 if kind.startswith("mobile") else 0.005
        agrees = abs(parameters / 1e6 - millions) <= 0.005
        if billions is not None:
            agrees &= abs(multiply_adds / 1e9 - billions) <= places
        if not agrees:
            wrong.append(kind)
    if wrong:
        sys.exit(f"not the expected cost: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
