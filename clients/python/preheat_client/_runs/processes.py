"""Processes: what a launcher says of a job in the environment: how many processes, which of them, which life."""

from collections.abc import Mapping
from dataclasses import dataclass

_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_JOBS = (("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"), ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"))
_NO_JOB = {"", "none"}  # torchrun's run id where nobody has chosen one: the same for every job


@dataclass(frozen=True)
class Lineage:
    """Which job a process belongs to, and how often its launcher has restarted it."""

    job: str
    restarts: int


@dataclass(frozen=True)
class Processes:
    """What the launcher says; 1 process, of rank 0, where it says nothing."""

    size: int
    rank: int
    lineage: Lineage | None


def processes_of(environ: Mapping[str, str]) -> Processes:
    """Read from the variables of torchrun, MPI and SLURM's srun."""
    sizes = [_count(environ, name) for name in _SIZES if name in environ]
    ranks = [_count(environ, name) for name in _RANKS if name in environ]
    size = max([1, *sizes])
    return Processes(size, ranks[0] if ranks and size > 1 else 0, _lineage(environ))


def _lineage(environ: Mapping[str, str]) -> Lineage | None:
    for job, restarts in _JOBS:
        if environ.get(job, "").lower() not in _NO_JOB:
            return Lineage(environ[job], _count(environ, restarts))
    return None


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0
