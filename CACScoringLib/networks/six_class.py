"""The six-class network: a slice of the heart -> one of six categories of calcium.

After Nguyen 2025: five layers of 3x3 convolutions with 32, 64, 128, 256 and 512 filters, ReLU, each followed by 2x2 max
pooling; flattened, 30 % dropout, a dense layer of 512 with ReLU, a softmax over six categories. The paper does not say
how large its input is, nor how the first weights are drawn. Here the last maps are averaged to 3x3 cells before they
are flattened, so that the dense layer, most of the weights, stays small, and the weights are drawn as He 2015 (Delving
deep into rectifiers) advises for ReLU without normalisation: with smaller ones nothing reaches the last layer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn

CATEGORIES = 6


@dataclass(frozen=True)
class SixClassConfig:
    """Shape of the network; stored in the model bundle."""

    size: int = 192
    filters: tuple[int, ...] = (32, 64, 128, 256, 512)
    cells: int = 3
    dense: int = 512
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if self.size % (2 ** len(self.filters) * self.cells):
            raise ValueError(f"size must be a multiple of {2 ** len(self.filters) * self.cells}, not {self.size}")

    def as_dict(self) -> dict[str, object]:
        """Return the configuration as the bundle's metadata stores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: dict[str, object]) -> SixClassConfig:
        """Read what ``as_dict`` has written."""
        return cls(**{**entries, "filters": tuple(entries["filters"])})


class SixClassNet(nn.Module):
    """Slices (N, 1, size, size) -> logits (N, 6).

    Parameters
    ----------
    config : SixClassConfig
    """

    def __init__(self, config: SixClassConfig | None = None):
        super().__init__()
        self.config = config or SixClassConfig()
        layers: list[nn.Module] = []
        for cin, cout in zip((1, *self.config.filters[:-1]), self.config.filters, strict=True):
            layers += [nn.Conv2d(cin, cout, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers)
        cells = self.config.cells
        self.head = nn.Sequential(
            nn.AvgPool2d(self.config.size // 2 ** len(self.config.filters) // cells),
            nn.Flatten(),
            nn.Dropout(self.config.dropout),
            nn.Linear(self.config.filters[-1] * cells**2, self.config.dense),
            nn.ReLU(),
            nn.Linear(self.config.dense, CATEGORIES),
        )
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.head[-1].weight, std=0.01)  # so that all categories are as probable at first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the categories."""
        return self.head(self.body(x))
