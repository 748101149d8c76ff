"""Live runs: which LR every rank of a job uses at every iteration, and how that is changed while it runs.

Everything here is a function from a run, as one frozen value, and a request to the run's next value, its events and the
answer: no I/O, no clock and no randomness. Whoever calls it loads the run, saves what comes of it in one serialised
transaction, and answers only then.
"""
