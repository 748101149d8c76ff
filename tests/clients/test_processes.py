"""Processes: what launchers say of a job in its environment."""

import pytest

from preheat_client._runs.processes import Lineage, Processes, processes_of

TORCHRUN = {"WORLD_SIZE": "8", "RANK": "3", "TORCHELASTIC_RUN_ID": "job-7", "TORCHELASTIC_RESTART_COUNT": "2"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Processes(1, 0, None)),
        (TORCHRUN, Processes(8, 3, Lineage("job-7", 2))),
        ({**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"}, Processes(8, 3, None)),  # torchrun's own: of every job
        ({"SLURM_JOB_ID": "99", "SLURM_RESTART_COUNT": "1"}, Processes(1, 0, Lineage("99", 1))),
        ({"SLURM_JOB_ID": "99", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, Processes(1, 0, Lineage("99", 0))),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}, Processes(8, 5, None)),  # srun
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "1"}, Processes(4, 1, None)),
        ({"WORLD_SIZE": "", "RANK": "x"}, Processes(1, 0, None)),
    ],
)
def test_the_environment_says_how_many_there_are(environ: dict[str, str], expected: Processes) -> None:
    """torchrun, SLURM and MPI; in a batch script of SLURM, which has tasks for later steps, there is one process."""
    assert processes_of(environ) == expected
