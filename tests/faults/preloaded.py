"""What trainers and services import, and what a first use of theirs imports: for processes forked from one that has."""

import torch
import torch._dynamo
import torch.distributed

torch.set_num_threads(1)
_OPTIMIZER = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
_OPTIMIZER.step()
