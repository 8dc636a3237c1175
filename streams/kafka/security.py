"""How each of our Kafka clients is told to use TLS and a login."""

import ssl
from pathlib import Path
from typing import Any, Literal, Self

from msgspec import Struct
from pydantic import SecretStr

from streams.errors import Misconfigured

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Login(Struct, frozen=True):
    """A user of Kafka. The password shows itself to nobody who prints this."""

    user: str
    password: SecretStr
    mechanism: Mechanism


class Broker(str):
    """An address, `host:port`, that knows how to connect.

    It is the text that it was: whatever takes a plain address takes this one, and what makes a client asks below
    how to. A plain address is one without TLS and login.
    """

    __slots__ = ("ca", "login", "tls")
    tls: bool
    ca: Path | None
    login: Login | None

    def __new__(cls, address: str, *, tls: bool = False, ca: Path | None = None, login: Login | None = None) -> Self:
        """Raise `Misconfigured` where the authorities' file cannot be read."""
        if ca is not None and not ca.is_file():
            raise Misconfigured(f"STREAMSCORE_KAFKA_CA: there is no file {ca}")
        broker = super().__new__(cls, address)
        broker.tls, broker.ca, broker.login = tls or ca is not None, ca, login
        return broker

    @property
    def protocol(self) -> str:
        """As Kafka names it."""
        return ("SASL_" if self.login else "") + ("SSL" if self.tls else "PLAINTEXT")

    @property
    def context(self) -> ssl.SSLContext | None:
        """Certificates are checked, and the host's name too. Raises `Misconfigured`."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError as error:
            raise Misconfigured(f"STREAMSCORE_KAFKA_CA: {self.ca} holds no certificate ({error.reason})") from None


def for_python(broker: str) -> dict[str, Any]:
    """Return arguments of kafka-python's and aiokafka's clients alike."""
    if not isinstance(broker, Broker):
        return {"bootstrap_servers": broker}
    told: dict[str, Any] = {"bootstrap_servers": str(broker), "security_protocol": broker.protocol}
    if broker.tls:
        told["ssl_context"] = broker.context
    if broker.login:
        told |= {
            "sasl_mechanism": broker.login.mechanism,
            "sasl_plain_username": broker.login.user,
            "sasl_plain_password": broker.login.password.get_secret_value(),
        }
    return told


def for_librdkafka(broker: str) -> dict[str, Any]:
    """Return settings of confluent-kafka's clients."""
    if not isinstance(broker, Broker):
        return {"bootstrap.servers": broker}
    told = {"bootstrap.servers": str(broker), "security.protocol": broker.protocol}
    if broker.ca is not None:
        told["ssl.ca.location"] = str(broker.ca)
    if broker.login:
        told |= {
            "sasl.mechanism": broker.login.mechanism,
            "sasl.username": broker.login.user,
            "sasl.password": broker.login.password.get_secret_value(),
        }
    return told


def for_faust(broker: str) -> dict[str, Any]:
    """Return settings of a Faust app."""
    import faust  # slow to import, and most commands have no use for it

    told: dict[str, Any] = {"broker": ";".join(f"kafka://{one.strip()}" for one in broker.split(","))}
    if isinstance(broker, Broker) and broker.login:
        told["broker_credentials"] = faust.SASLCredentials(
            username=broker.login.user,
            password=broker.login.password.get_secret_value(),
            ssl_context=broker.context,
            mechanism=broker.login.mechanism,
        )
    elif isinstance(broker, Broker) and broker.tls:
        told["broker_credentials"] = faust.SSLCredentials(context=broker.context)
    return told
