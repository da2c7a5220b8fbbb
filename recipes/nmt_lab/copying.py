"""Copying with a delay: how far back a gradient reaches, and how long a memory lasts.

Two symbols, then a delay of blanks, then a cue at which the two must be said again (Hochreiter & Schmidhuber, 1997;
Arjovsky et al., 2016, sec. 4.2). One network has to do for all delays. Over the delay the state is the only way from
the symbols to the loss: the gradient of the loss with respect to the state at a step is what learning can see of it
(Bengio et al., 1994). The simple RNN is shown twice: as it was commonly started, with small uniform weights, where the
gradient vanishes, and as this project starts it, with orthogonal weights (Saxe et al., 2014), where it fades.
"""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from nmt_lab.common import Network, Options, compared, make_compared, picture, train

ALPHABET: Final = 8
WORD: Final = 2
LONGEST: Final = 40
"""Delays of training are drawn from 1 to this."""
MEASURED: Final = 100
"""Gradients are measured over this delay."""
DELAYS: Final = (1, 5, 10, 20, 30, 40, 60, 80, 100)
DEFAULTS: Final = Options(units=64, steps=1500)


def make(name: str, options: Options) -> Network:
    """Make a network; all have as many hidden units."""
    return make_compared(name, options, input_size=ALPHABET + 2, output_size=ALPHABET)


def draw_batch(size: int, delay: int) -> tuple[Tensor, Tensor]:
    """Draw inputs, [B, T, I] with T = WORD + delay + WORD, and the words in them, [B, WORD].

    The blank comes behind the alphabet, then the cue, which stands at step WORD + delay.
    """
    words = torch.randint(ALPHABET, (size, WORD))
    ids = torch.full((size, WORD + delay + WORD), ALPHABET)
    ids[:, :WORD] = words
    ids[:, WORD + delay] = ALPHABET + 1
    return functional.one_hot(ids, ALPHABET + 2).float(), words


def loss_of(outputs: Tensor, words: Tensor) -> Tensor:
    """Return the mean cross-entropy of words [B, WORD], said in the last steps of outputs [B, T, O]."""
    return functional.cross_entropy(outputs[:, -WORD:].flatten(0, 1), words.flatten())


def gradient_norms(network: Network, inputs: Tensor, words: Tensor) -> Tensor:
    """Return the norm of d loss / d state at every step, all parts of a state at once, mean over the batch: [T]."""
    state, weights = network.layer.zeros(inputs), network.layer.weights()
    states, features = [], []
    for t in range(inputs.shape[1]):
        # copies, so that what an LSTM's h owes to its c in the same step is not counted with c
        state = tuple(part.clone() for part in network.layer.step(inputs[:, t], state, weights=weights))
        states.append(state)
        features.append(network.layer.output(state))
    loss = loss_of(network.output(torch.stack(features, dim=1)), words)
    parts = torch.autograd.grad(loss, [part for state in states for part in state], materialize_grads=True)
    gradients = torch.stack(parts).view(len(states), len(state), len(inputs), -1)  # [T, parts, B, H]
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=(1, 3))
    return norms.mean(dim=1)


def fading(network: Network) -> list[float]:
    """Return the gradient's norm at so many steps before the cue, 0 to MEASURED, as a share of the norm at the cue."""
    inputs, words = draw_batch(64, MEASURED)
    # in float64: what is left of a vanishing gradient may be less than the smallest float32
    norms = gradient_norms(deepcopy(network).double(), inputs.double(), words)[WORD - 1 : WORD + MEASURED].flip(0)
    shares: list[float] = (norms / norms[0]).tolist()
    return shares


@torch.no_grad()
def accuracy(network: Network, delay: int) -> float:
    """Return the share of 1,000 symbols that is copied correctly."""
    inputs, words = draw_batch(1000 // WORD, delay)
    said: Tensor = network(inputs)[0][:, -WORD:].argmax(dim=2)
    return (said == words).float().mean().item()


def learn(network: Network, options: Options) -> None:
    """Train on delays of all lengths, one length a batch."""
    torch.manual_seed(options.seed)

    def loss() -> Tensor:
        inputs, words = draw_batch(64, int(torch.randint(1, LONGEST + 1, ())))
        return loss_of(network(inputs)[0], words)

    train(network, loss, options, learning_rate=0.005)


def draw(
    before: dict[str, list[float]],
    after: dict[str, list[float]],
    accuracies: dict[str, list[float]],
    colours: dict[str, str],
    path: Path,
) -> None:
    """Draw gradients over distance and accuracies over delays; the GRU's broad, as the LSTM's may lie upon them."""
    with picture(path, width=11, height=3.6) as figure:
        left, middle, right = figure.subplots(1, 3)
        for axes, shares, when in ((left, before, "before"), (middle, after, "after")):
            for name, values in shares.items():
                axes.semilogy([max(value, 1e-30) for value in values], color=colours[name], linewidth=1.6)
            axes.set(title=f"Gradient {when} training", xlabel="steps before the cue", ylim=(1e-26, 1e4))
        left.set_ylabel("|d loss / d state|, at the cue = 1")
        for name, values in accuracies.items():
            right.plot(
                DELAYS,
                [100 * value for value in values],
                "o-",
                markersize=3.5,
                linewidth=4 if name == "GRU" else 1.6,
                color=colours[name],
                label=name,
            )
        right.axhline(100 / ALPHABET, color="#777777", linewidth=1, linestyle=":", label="chance")
        right.axvspan(1, LONGEST, color="#f2f2f2", zorder=0)
        right.set(title="Copied (grey: trained delays)", xlabel="delay (steps)", ylabel="accuracy (%)", ylim=(0, 103))
        figure.legend(loc="outside lower center", ncols=5)


def run(options: Options, output: Path) -> Iterator[str]:
    """Measure each network before and after training."""
    before, after, accuracies = {}, {}, {}
    networks = compared(options.cell)
    for name in networks:
        network = make(name, options)
        before[name] = fading(network)
        learn(network, options)
        after[name] = fading(network)
        accuracies[name] = [accuracy(network, delay) for delay in DELAYS]
        copied = ", ".join(f"{value:.1%} at {delay}" for delay, value in zip(DELAYS, accuracies[name], strict=True))
        yield (
            f"{name}: of the gradient at the cue, {before[name][-1]:.0e} is left {MEASURED} steps before it, "
            f"{after[name][-1]:.0e} after training; copied correctly by delay: {copied}"
        )
    draw(before, after, accuracies, {name: colour for name, (_, colour) in networks.items()}, output)
