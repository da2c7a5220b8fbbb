"""The scale of a loss whose gradients are in float16."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from nmt.errors import counted

_HOPELESS = 16
"""Updates that overflow one after the other: by then the scale is one."""


class LossScale:
    """What the loss is multiplied by while gradients are in float16, where small ones would become zero (Micikevicius
    et al., 2018, sec. 3.2).

    An update whose gradients overflow is skipped, and halves it; 2,000 others double it. All of this happens on the
    device, and nobody waits for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type)
        self._skipped, self._in_a_row = torch.zeros(2, device=device)
        self._told = 0

    def of(self, loss: Tensor) -> Tensor:
        """Scale a loss whose gradients are wanted."""
        return self._scaler.scale(loss)

    def unscale(self, optimizer: Optimizer) -> None:
        """Divide the gradients again."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer, norm: Tensor) -> Tensor:
        """Update the weights unless the norm of their gradients, a scalar, is not finite.

        Returns:
            The norm; zero where the update is skipped, as long as there is hope.
        """
        # The momentum of SGD starts at zero: torch takes memory for it as it comes, which a first update that is
        # skipped leaves so.
        for group in optimizer.param_groups:
            for parameter in group["params"] if group.get("momentum") else ():
                if parameter.grad is not None and parameter not in optimizer.state:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        self._scaler.step(optimizer)
        self._scaler.update()
        overflows = ~norm.isfinite()
        self._skipped += overflows
        self._in_a_row.add_(1).mul_(overflows)
        return norm.masked_fill(overflows & (self._in_a_row <= _HOPELESS), 0.0)

    def state(self) -> Tensor:
        """Return all that it depends on, [4], on the CPU."""
        state = self._scaler.state_dict()
        return torch.tensor([state["scale"], state["_growth_tracker"], self._skipped.item(), self._in_a_row.item()])

    def restore(self, state: Tensor) -> None:
        """Take what `state` gave."""
        scale, steps, skipped, in_a_row = state.tolist()
        self._scaler.load_state_dict(self._scaler.state_dict() | {"scale": scale, "_growth_tracker": int(steps)})
        self._skipped.fill_(skipped)
        self._in_a_row.fill_(in_a_row)
        self._told = int(skipped)

    def news(self) -> str | None:
        """Say how many updates were skipped; None: no more than when this was last asked."""
        skipped = int(self._skipped.item())
        if skipped == self._told:
            return None
        self._told = skipped
        scale = self._scaler.get_scale()
        return (
            f"{counted(skipped, 'update')} skipped so far, as fp16 overflowed; the loss is multiplied by {scale:,.0f}"
        )
