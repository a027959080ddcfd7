"""The same networks in plain PyTorch, for comparison with this project's training steps.

They are written in the usual way: an autograd function for each sign, modules for the rest,
`torch.compile` with CUDA graphs. Networks: SD-BNN's ResNet-20 and ReActNet-A, as in the papers.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F


class ErrorDecaySign(torch.autograd.Function):
    """sign(x) with the derivative of tanh (t = 1)."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(context, gradient):
        [x] = context.saved_tensors
        return gradient * (1 - torch.tanh(x) ** 2)


class ApproximateSign(torch.autograd.Function):
    """sign(x) with the gradient max(0, 2 - 2|x|)."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(context, gradient):
        [x] = context.saved_tensors
        return gradient * F.relu(2 - 2 * x.abs())


class ScaledSign(torch.autograd.Function):
    """mean(|w|) sign(w), with a straight-through gradient for |w| <= 1."""

    @staticmethod
    def forward(context, w):
        context.save_for_backward(w)
        return w.abs().mean((1, 2, 3), keepdim=True) * torch.sign(w)

    @staticmethod
    def backward(context, gradient):
        [w] = context.saved_tensors
        return gradient * (w.abs() <= 1)


class SelfDistributionConv(nn.Module):
    """SD-BNN's binary convolution: both self-distributions, then signs."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) * 0.1)
        self.alpha = nn.Parameter(torch.zeros(outputs, 1, 1, 1))
        self.down = nn.Linear(inputs, max(1, inputs // 16), bias=False)
        self.up = nn.Linear(max(1, inputs // 16), inputs, bias=False)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shift = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        signs = ErrorDecaySign.apply(x + shift[:, :, None, None])
        mean = self.weight.mean((1, 2, 3), keepdim=True).detach()
        kernel = ErrorDecaySign.apply(self.weight + torch.sigmoid(self.alpha) * 0.01 * mean)
        return F.conv2d(signs, kernel, stride=self.stride, padding=1)


class SDBNNResNet20(nn.Module):
    """A shortcut around each convolution, hardtanh after each sum."""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        channels = 16
        for filters in (16, 32, 64):
            for index in range(6):
                stride = 2 if filters > 16 and index == 0 else 1
                self.convs.append(SelfDistributionConv(channels, filters, stride))
                self.norms.append(nn.BatchNorm2d(filters))
                channels = filters
        self.norm, self.classifier = nn.BatchNorm1d(64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardtanh(self.stem_norm(self.stem(x)))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            shortcut = x
            if conv.stride == 2:
                more = x.shape[1] // 2
                shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more))
            x = F.hardtanh(norm(conv(x)) + shortcut)
        return self.classifier(self.norm(x.mean((2, 3))))


class ShiftedSign(nn.Module):
    """RSign."""

    def __init__(self, channels: int):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ApproximateSign.apply(x + self.shift)


class ShiftedPReLU(nn.Module):
    """RPReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.before = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.after = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.prelu = nn.PReLU(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.prelu(x + self.before) + self.after


class BinaryConv(nn.Module):
    """Scaled signs, then batch norm."""

    def __init__(self, channels: int, size: int, stride: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, size, size) * 0.01)
        self.norm = nn.BatchNorm2d(channels)
        self.stride, self.padding = stride, size // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel = ScaledSign.apply(self.weight)
        return self.norm(F.conv2d(x, kernel, stride=self.stride, padding=self.padding))


class ReActBlock(nn.Module):
    """A 3x3 convolution, then one 1x1 convolution, or two if channels double."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.sign1, self.sign2 = ShiftedSign(inputs), ShiftedSign(inputs)
        self.spatial = BinaryConv(inputs, 3, stride)
        self.pointwise = nn.ModuleList(BinaryConv(inputs, 1) for _ in range(outputs // inputs))
        self.prelu1, self.prelu2 = ShiftedPReLU(inputs), ShiftedPReLU(outputs)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = F.avg_pool2d(x, 2) if self.stride == 2 else x
        x = self.prelu1(self.spatial(self.sign1(x)) + shortcut)
        signs = self.sign2(x)
        return self.prelu2(torch.cat([each(signs) + x for each in self.pointwise], 1))


class ReActNetA(nn.Module):
    """ReActNet-A, with MobileNet's channels, for images of 224x224."""

    def __init__(self):
        super().__init__()
        channels = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, padding=1, bias=False), nn.BatchNorm2d(32))
        self.blocks = nn.Sequential(
            *(
                ReActBlock(i, o, 2 if i != o and o != 64 else 1)
                for i, o in itertools.pairwise(channels)
            )
        )
        self.classifier = nn.Linear(1024, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.blocks(self.stem(x)).mean((2, 3)))


NETWORKS = {"SDBNNResNet20": SDBNNResNet20, "ReActNetA": ReActNetA}


def contenders(entries: list[dict], steps: int) -> list[tuple[dict, int, object]]:
    """Return (description, batch, function that trains `steps` steps) per network and dtype."""
    found: list[tuple[dict, int, object]] = []
    for entry in entries:
        name, dtype = entry["label"].split(", ")
        if name in NETWORKS:
            run = _training(NETWORKS[name], entry, dtype == "bfloat16", steps)
            said = {"label": entry["label"], "library": f"PyTorch {torch.__version__}, compiled"}
            found.append((said, entry["batch"], run))
    return found


def _training(network: type, entry: dict, bfloat16: bool, steps: int):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    model = network().to(device, memory_format=torch.channels_last)
    adam = network is ReActNetA
    optimizer = (
        torch.optim.Adam(model.parameters(), 1e-3, fused=device == "cuda")
        if adam
        else torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, fused=device == "cuda")
    )
    height, width, channels = entry["image_shape"]
    images = torch.randn(entry["batch"], channels, height, width, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(entry["classes"], (entry["batch"],), device=device)

    def loss_of(images, labels):
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            return F.cross_entropy(model(images).float(), labels)

    compiled = torch.compile(loss_of, mode="reduce-overhead") if device == "cuda" else loss_of

    def run() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            compiled(images, labels).backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    run()
    return run
