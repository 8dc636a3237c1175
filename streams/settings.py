"""Settings, from the environment and a TOML file, checked at the start."""

import os
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from models.policy import DAY, Policy
from models.sales.calendar import public_holidays
from models.sales.dimensions import split_of
from streams.errors import Misconfigured
from streams.kafka.security import Broker, Login, Mechanism

FILE = "STREAMSCORE_CONFIG"
"""Names the TOML file."""
YEAR = 366.0 * DAY
"""Seconds."""
SHORTEST_DAYS = 0.01
"""A quarter of an hour: timers that come more often than events end nothing."""


class Settings(BaseSettings):
    """Each can be set as STREAMSCORE_<NAME>, or as <name> in the file that STREAMSCORE_CONFIG names."""

    model_config = SettingsConfigDict(env_prefix="STREAMSCORE_", extra="forbid", frozen=True)

    broker: str | None = None
    kafka_tls: bool = False
    kafka_ca: Path | None = None
    kafka_user: str | None = None
    kafka_password: SecretStr | None = None
    kafka_mechanism: Mechanism = "SCRAM-SHA-512"
    redis: Annotated[str | None, Field(repr=False)] = None
    redis_user: str | None = None
    redis_password: SecretStr | None = None
    redis_ca: Path | None = None
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=64)] = ""
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 9108
    partitions: Annotated[int, Field(ge=1, le=1_000)] = 4
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "GBP"
    timezone: str = "UTC"
    holidays: str = ""
    sales_by: str = ""
    clock: Annotated[str, Field(pattern="^(wall|events)$")] = "wall"
    lateness_seconds: Annotated[float, Field(ge=0, le=YEAR)] = 3_600.0
    response_lateness_seconds: Annotated[float | None, Field(ge=0, le=YEAR)] = None
    window_lateness_seconds: Annotated[float | None, Field(ge=0, le=YEAR)] = None
    sales_lateness_seconds: Annotated[float | None, Field(ge=0, le=YEAR)] = None
    max_jump_days: Annotated[float, Field(gt=0, le=36_600)] = 366.0
    poison_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    on_missing: Annotated[str, Field(pattern="^(stop|go_on)$")] = "stop"
    idle_after_seconds: Annotated[float, Field(gt=0, le=YEAR)] = 60.0
    draw_days: Annotated[float, Field(ge=SHORTEST_DAYS, le=3_660)] = 30.0
    window_days: Annotated[float, Field(ge=SHORTEST_DAYS, le=3_660)] = 90.0
    response_days: Annotated[float, Field(ge=SHORTEST_DAYS, le=3_660)] = 7.0
    example_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    chunk_size: Annotated[int, Field(ge=1, le=5_000)] = 2_000
    models: Annotated[str, Field(pattern=r"^(live|[a-z_]+=[^,=\s]+(,[a-z_]+=[^,=\s]+)*)$")] = "live"
    campaigns: Path | None = None
    data: Path = Path(".streamscore")
    snapshot_key: SecretStr | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is not the IANA name of a timezone") from None
        return name

    @field_validator("broker")
    @classmethod
    def _known_addresses(cls, names: str | None) -> str | None:
        ports = [name.rpartition(":")[2].strip() for name in names.split(",")] if names else []
        if not all(port.isdecimal() and 0 < int(port) < 65_536 for port in ports):
            raise ValueError("not host:port, nor several of them with commas between")
        return names

    @field_validator("holidays")
    @classmethod
    def _known_place(cls, name: str) -> str:
        if name:
            public_holidays(name)
        return name

    @field_validator("sales_by")
    @classmethod
    def _known_dimensions(cls, names: str) -> str:
        split_of(names)
        return names

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        sources = [init_settings, env_settings]
        if file := os.environ.get(FILE):
            if not Path(file).is_file():
                raise Misconfigured(f"{FILE}: there is no file {file}")
            sources.append(TomlConfigSettingsSource(settings_cls, Path(file)))
        return tuple(sources)

    @property
    def kafka(self) -> Broker:
        """Where Kafka is, and how to connect. Raises `Misconfigured`."""
        if (self.kafka_user is None) != (self.kafka_password is None):
            raise Misconfigured("STREAMSCORE_KAFKA_USER and STREAMSCORE_KAFKA_PASSWORD are set together or not at all")
        login = None
        if self.kafka_user is not None and self.kafka_password is not None:
            login = Login(self.kafka_user, self.kafka_password, self.kafka_mechanism)
        return Broker(self.given("broker"), tls=self.kafka_tls, ca=self.kafka_ca, login=login)

    @property
    def policy(self) -> Policy:
        """What the pure part reads."""
        return Policy(
            currency=self.currency,
            timezone=self.timezone,
            holidays=self.holidays,
            split_by=split_of(self.sales_by),
            lateness=self.lateness_seconds,
            response_lateness=self.response_lateness_seconds,
            window_lateness=self.window_lateness_seconds,
            sales_lateness=self.sales_lateness_seconds,
            max_jump=self.max_jump_days * DAY,
            poison_share=self.poison_share,
            draw_days=self.draw_days,
            window_days=self.window_days,
            response_days=self.response_days,
            example_share=self.example_share,
        )

    @property
    def pins(self) -> dict[str, str] | None:
        """The version of each task to score with; None: whatever is published."""
        if self.models == "live":
            return None
        return dict(pair.split("=", 1) for pair in self.models.split(","))

    def given(self, name: str) -> str:
        """Return a setting that must be there. Raises `Misconfigured`."""
        value = getattr(self, name)
        if not value:
            raise Misconfigured(f"STREAMSCORE_{name.upper()} is not set")
        return str(value)


def load_settings(**given: Any) -> Settings:
    """Read and check all settings.

    Raises
    ------
    Misconfigured
        Names each setting that is wrong, and why; never its value.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = [f"STREAMSCORE_{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
        raise Misconfigured("; ".join(wrong)) from None
    except ValueError as error:
        raise Misconfigured(f"{FILE}: {error}") from None
