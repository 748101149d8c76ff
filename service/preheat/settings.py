"""Everything an operator can set, by environment variable (`PREHEAT_` and the field's name in capitals)."""

from pathlib import Path

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _default_database_url() -> str:
    return f"sqlite:///{Path(platformdirs.user_data_dir('preheat')) / 'preheat.db'}"


class Settings(BaseSettings):
    """The service's settings."""

    model_config = SettingsConfigDict(env_prefix="PREHEAT_", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=256, description="Processes that answer requests.")
    database_url: str = Field(
        default_factory=_default_database_url,
        description="Where schedules are kept: sqlite:///FILE, or sqlite:///:memory: to forget them at the end.",
    )
    database_timeout_s: float = Field(5.0, gt=0, description="How long to wait for another writer of the database.")
    compute_timeout_s: float = Field(20.0, gt=0, description="How long one request may compute.")
    max_body_bytes: int = Field(2_000_000, ge=1, description="Largest request body.")
    max_values_per_answer: int = Field(2_000_000, ge=1, description="Most values in one answer: rows × columns.")
    max_total_iterations: int = Field(
        1_000_000_000_000, ge=1, description="Longest run of a scheduler with a closed form."
    )
    max_total_iterations_stepped: int = Field(
        10_000_000, ge=1, description="Longest run of a scheduler that must be stepped."
    )
    max_width_px: int = Field(4000, ge=200, description="Widest picture.")
    max_height_px: int = Field(4000, ge=150, description="Highest picture.")
    curve_cache_bytes: int = Field(256_000_000, ge=0, description="Memory for curves, per worker.")
    picture_cache_bytes: int = Field(64_000_000, ge=0, description="Memory for pictures, per worker.")
