"""Handwritten digits, read row by row: a prediction of the digit after every row.

The 1,797 images of scikit-learn's digits (8 x 8 pixels; the test set of Alpaydin & Kaynak's Optical Recognition of
Handwritten Digits, 1998). A network reads the rows from top to bottom and predicts the digit after each; it is
trained on all of these answers, on the last one above all (target replication: Lipton et al., 2016, sec. 3.2). The
figure is the share of images classified correctly after the last row, by five networks, each tested on a fifth of the
images, which it was not trained on.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional

from nmt_lab.common import BLUE, Network, Options, make_network, picture, train

FOLDS: Final = 5
ROWS: Final = 8
SHOWN: Final = (0, 3, 5, 6, 8, 9)
DEFAULTS: Final = Options(units=64, steps=2500)


def read_images() -> tuple[Tensor, Tensor]:
    """Return the images, [N, 8, 8] with ink between 0 and 1, and their digits, [N]."""
    bunch = load_digits()
    return torch.tensor(bunch.images / 16, dtype=torch.float32), torch.tensor(bunch.target)


def split(count: int, *, seed: int) -> list[Tensor]:
    """Deal the numbers of images out into folds."""
    return list(torch.randperm(count, generator=torch.Generator().manual_seed(seed)).chunk(FOLDS))


def learn(images: Tensor, digits: Tensor, options: Options) -> Network:
    """Train on batches of 64, with noise on the pixels."""
    network = make_network(options, input_size=8, output_size=10)

    def loss() -> Tensor:
        chosen = torch.randint(len(images), (64,))
        logits, _ = network(images[chosen] + 0.1 * torch.randn(64, ROWS, 8))
        everywhere = functional.cross_entropy(logits.flatten(0, 1), digits[chosen].repeat_interleave(ROWS))
        return everywhere + functional.cross_entropy(logits[:, -1], digits[chosen])

    train(network, loss, options, learning_rate=0.005)
    return network


@torch.no_grad()
def believe(network: Network, images: Tensor) -> Tensor:
    """Return the probability of each digit after every row of images [N, 8, 8]: [N, 8, 10]."""
    logits: Tensor = network(images)[0]
    return logits.softmax(dim=2)


def draw(images: Tensor, beliefs: Tensor, known: Tensor, path: Path) -> None:
    """Draw images beside the beliefs [8, 10] about each, and the share of all images known after each row, [8]."""
    with picture(path, width=11, height=4) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(2.3, 1), squeeze=False)[0]
        axes = left.subplots(2, 6, width_ratios=(8, 10) * 3)
        for image, belief, page, panel in zip(images, beliefs, axes[:, ::2].flat, axes[:, 1::2].flat, strict=True):
            page.imshow(image.numpy(), cmap="gray_r")
            panel.imshow(belief.numpy(), cmap="Blues", vmin=0, vmax=1)
            page.set(xticks=[], yticks=range(ROWS), yticklabels=range(1, ROWS + 1), ylabel="row")
            panel.set(xticks=range(10), yticks=[], xlabel="predicted digit")
            for each in (page, panel):
                each.tick_params(length=0, labelsize=7)
                each.grid(visible=False)
        left.suptitle("What is read, and the prediction after each row (the darker, the surer)", fontsize=11)
        curve = right.subplots()
        curve.plot(range(1, ROWS + 1), 100 * known, "o-", color=BLUE)
        curve.set(title="All images", xlabel="rows read", ylabel="accuracy (%)", ylim=(0, 103))


def run(options: Options, output: Path) -> Iterator[str]:
    """Train and test a network for every fold."""
    images, digits = read_images()
    folds, known, beliefs = split(len(images), seed=options.seed), [], []
    for number, fold in enumerate(folds):
        others = torch.cat([other for other in folds if other is not fold])
        network = learn(images[others], digits[others], dataclasses.replace(options, seed=options.seed + number))
        beliefs.append(believe(network, images[fold]))
        known.append(beliefs[-1].argmax(dim=2) == digits[fold][:, None])
        yield f"fold {number + 1}: {known[-1][:, -1].float().mean():.2%} of {len(fold)} unseen images"
    by_row = torch.cat(known).float().mean(dim=0)
    yield "known by rows read: " + ", ".join(f"{share:.2%}" for share in by_row)
    first = torch.stack([(digits[folds[0]] == digit).int().argmax() for digit in SHOWN])
    draw(images[folds[0][first]], beliefs[0][first], by_row, output)
