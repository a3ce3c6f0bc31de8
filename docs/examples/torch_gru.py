"""A GRU in torch: python -m gpicl_bench.evaluate docs/examples/torch_gru.py

At position t it has read x_0, y_0, …, x_{t-1}, y_{t-1} and x_t. Its weights are drawn from a fixed seed, or read from a
file that `torch.save(gru.state_dict(), path)` has written: --learner-arg weights=path
"""

import torch
from torch import nn
from torch.nn import functional


class GRU(nn.Module):
    """One layer, and scores for every class from what it remembers."""

    def __init__(self, num_inputs: int, num_classes: int, width: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.gru = nn.GRU(num_inputs + num_classes, width, batch_first=True)
        self.readout = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """x float32 [B, T, D], y int64 [B, T] -> logits [B, T, C]."""
        labels = functional.one_hot(y, self.num_classes).to(x.dtype)
        before = functional.pad(labels[:, :-1], (0, 0, 1, 0))  # the label of the example before; none at first
        remembered, _ = self.gru(torch.cat([x, before], dim=-1))
        return self.readout(remembered)


def make_learner(info, width=32, weights=None):
    with torch.random.fork_rng(devices=[]):  # torch's global generator stays as it is
        torch.manual_seed(0)
        gru = GRU(info.D, info.C, width)
    if weights is None:
        gru.card = {"meta_training": "none", "stochastic": False}
    else:
        gru.load_state_dict(torch.load(weights, weights_only=True))
    return gru
