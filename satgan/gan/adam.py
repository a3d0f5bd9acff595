"""Adam on a flat vector of weights, by PyTorch's own fused kernel.

The one of torch.optim calls the same kernel, but loads torch._dynamo with the first weights that it is given, which
takes each process 0.9 s.
"""

import torch
from torch import Tensor

EPSILON = 1e-8


class Adam:
    """Adam without decay of weights, as torch.optim.Adam has it (tests/gan/test_adam.py compares).

    `moments` are empty before the first step; then `exp_avg` and `exp_avg_sq`, like the weights, and `step`, a float32
    scalar on their device, so that a step can be recorded (graphs.py).

    Args:
        weights: `[P]` float32; changed in place.
        learning_rate, betas: as in the paper (arXiv 1412.6980).
    """

    def __init__(self, weights: Tensor, learning_rate: float, betas: tuple[float, float]) -> None:
        self._weights, self._betas = weights, betas
        # On a GPU it lies there, where a recorded step looks for it; on a CPU a float has all of its digits.
        on_gpu = weights.device.type == "cuda"
        self._learning_rate = torch.tensor(learning_rate, device=weights.device) if on_gpu else learning_rate
        self.moments: dict[str, Tensor] = {}

    def set_learning_rate(self, rate: float) -> None:
        """From the next step on, a replayed one too."""
        if isinstance(self._learning_rate, Tensor):
            self._learning_rate.fill_(rate)
        else:
            self._learning_rate = rate

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Moves the weights by a gradient `[P]`."""
        if not self.moments:
            self.moments["step"] = torch.zeros((), device=self._weights.device)
            for name in ("exp_avg", "exp_avg_sq"):
                self.moments[name] = torch.zeros_like(self._weights)
        first, second, steps = (self.moments[name] for name in ("exp_avg", "exp_avg_sq", "step"))
        steps += 1
        torch._fused_adam_(
            [self._weights], [gradient], [first], [second], [], [steps], lr=self._learning_rate, beta1=self._betas[0],
            beta2=self._betas[1], weight_decay=0.0, eps=EPSILON, amsgrad=False, maximize=False,
        )  # fmt: skip
