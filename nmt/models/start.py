"""How the weights of a whole model start, where not as each of its parts starts by itself."""

from collections.abc import Callable, Iterator
from typing import Final, Literal

import torch
from torch import Tensor, nn

from nmt.models.cells import RecurrentLayer

Init = Literal["orthogonal", "xavier", "he", "uniform"]

_DRAW: Final[dict[Init, Callable[[Tensor], Tensor]]] = {
    "xavier": nn.init.xavier_uniform_,
    "he": nn.init.kaiming_normal_,
}


@torch.no_grad()
def start_over(model: nn.Module, init: Init, *, init_range: float, forget_bias: float) -> None:
    """Draw anew what is to start otherwise than in the parts as they are made, which is "orthogonal".

    Args:
        model: Freshly made.
        init: Glorot's uniform or He's normal for the matrices of recurrent layers, gate by gate, and of linear ones,
            with the linear ones' biases at zero; or uniform for all weights but gains.
        init_range: The bound of what is uniform (Zaremba et al., 2015, sec. 4.1).
        forget_bias: What the biases of forget gates start from.
    """
    if init == "uniform":
        for name, parameter in model.named_parameters():
            # what is normalised keeps its size
            if parameter.requires_grad and not name.endswith("gain"):
                nn.init.uniform_(parameter, -init_range, init_range)
    elif init in _DRAW:
        for matrix in _matrices(model):
            _DRAW[init](matrix)
    for layer in model.modules():
        bias = layer.forget_bias() if isinstance(layer, RecurrentLayer) else None
        if bias is not None:
            bias.copy_(bias + forget_bias if init == "uniform" else torch.full_like(bias, forget_bias))


def _matrices(model: nn.Module) -> Iterator[Tensor]:
    """Yield the matrices of a model but its tables, one for each gate; the biases of linear layers become zero."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for module in model.modules():
        if isinstance(module, RecurrentLayer):
            for name, weight in module.named_parameters():
                if "weight" in name:
                    yield from torch.split(weight, module.hidden_size)
        elif isinstance(module, nn.Linear):
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if id(module.weight) not in tables:
                yield module.weight
