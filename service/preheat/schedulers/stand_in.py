"""Stand-in optimizer: param groups without a model, for a scheduler to write its LRs to."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import SGD
from typing_extensions import override


class StandInOptimizer(SGD):
    """An optimizer that trains nothing, with a param group for each of `lrs`."""

    def __init__(self, lrs: Sequence[float | Tensor]) -> None:
        super().__init__([{"params": [Tensor([0.0])], "lr": float(lr)} for lr in lrs], lr=0.0, momentum=0.9)

    @override
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        # torch's own first imports the machinery of torch.compile, which takes as long as importing torch does.
        self.param_groups.append({**self.defaults, **param_group})
