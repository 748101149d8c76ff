"""Limits: what bounds a run, as plain numbers; the service's settings fill them in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of a run, in iterations and seconds.

    `window_cap` is the most that may be handed out past the highest position that was reported; `first_window` what is
    handed out before it is known how long an iteration takes. `most_keys` answers to Idempotency-Keys are remembered.
    Beside `most_reports` there may be `more_followed`, of metrics that a controller follows.
    """

    window_cap: int = 4096
    first_window: int = 16
    lease_s: float = 5.0
    lease_all_s: float = 60.0
    stalled_after_s: float = 300.0
    most_changes: int = 2_000
    most_attempts: int = 10_000
    most_controllers: int = 10
    most_keys: int = 1_000
    most_events: int = 100_000
    most_reports: int = 5_000_000
    more_followed: int = 5_000_000
    automated_changes_per_thousand: int = 10

    def lease(self, speakers: str) -> float:
        """How long a window lasts, and a speaker's silence may."""
        return self.lease_s if speakers == "one" else self.lease_all_s


DEFAULT_LIMITS = Limits()
