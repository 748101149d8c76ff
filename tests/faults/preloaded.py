"""What trainers and services import, and what a first use of theirs imports: for processes forked from one that has."""

from importlib import import_module

import torch

for module in (
    "certifi", "encodings.idna", "httpcore", "torch._dynamo", "torch.distributed",
    "preheat.api", "preheat.cli.serve", "preheat.server",
    "preheat_client._core.stand_in", "preheat_client._runs.opening", "preheat_client.distributed",
    "preheat_client.torch", "faults.run_services", "faults.run_trainer",
):  # fmt: skip
    import_module(module)

torch.set_num_threads(1)
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0).step()
