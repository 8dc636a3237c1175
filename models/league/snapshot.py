"""Leagues as signed bytes: pickled River objects and plain data, nothing of ours.

Layout: HMAC-SHA256 (32 bytes) over all that follows; the header's length (4 bytes, big-endian);
the header (JSON); the pickle, compressed by Zstandard (in format 1 as it is). The signature is the
wall. The allow-list is a second one, and keeps classes of ours out: a class in a pickle freezes the
path of its module.
"""

import hashlib
import hmac
import io
import json
import pickle
from typing import Any, Final

import river
import zstandard

FORMAT: Final = 2
_PLAIN: Final = 1
_LEVEL: Final = 1
"""Two thirds are saved. Higher levels save a few percent more in many times the time."""
_DIGEST: Final = hashlib.sha256().digest_size
_LENGTH: Final = 4

ALLOWED: Final[frozenset[tuple[str, str]]] = frozenset(
    {
        ("builtins", "bool"),
        ("builtins", "float"),
        ("builtins", "int"),
        ("builtins", "set"),
        ("builtins", "frozenset"),
        ("collections", "Counter"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("collections", "deque"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.dtypes", "BoolDType"),
        ("numpy.dtypes", "Float32DType"),
        ("numpy.dtypes", "Float64DType"),
        ("numpy.dtypes", "Int64DType"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("random", "Random"),
        ("river._river_rust.drift", "AdaptiveWindowing"),
        ("river._river_rust.vectordict", "VectorDict"),
        ("river.drift.adwin", "ADWIN"),
        ("river.forest.adaptive_random_forest", "ARFClassifier"),
        ("river.forest.adaptive_random_forest", "BaseTreeClassifier"),
        ("river.linear_model.lin_reg", "LinearRegression"),
        ("river.linear_model.log_reg", "LogisticRegression"),
        ("river.metrics.log_loss", "LogLoss"),
        ("river.optim.ada_grad", "AdaGrad"),
        ("river.optim.initializers", "Zeros"),
        ("river.optim.losses", "Log"),
        ("river.optim.losses", "Squared"),
        ("river.optim.schedulers", "Constant"),
        ("river.preprocessing.scale", "StandardScaler"),
        ("river.proba.gaussian", "Gaussian"),
        ("river.stats.mean", "Mean"),
        ("river.stats.var", "Var"),
        ("river.tree.hoeffding_adaptive_tree_classifier", "HoeffdingAdaptiveTreeClassifier"),
        ("river.tree.nodes.arf_htc_nodes", "RandomLeafNaiveBayesAdaptive"),
        ("river.tree.nodes.branch", "NumericBinaryBranch"),
        ("river.tree.nodes.hatc_nodes", "AdaLeafClassifier"),
        ("river.tree.nodes.hatc_nodes", "AdaNumBinaryBranchClass"),
        ("river.tree.splitter.gaussian_splitter", "GaussianSplitter"),
    }
)
"""All that a snapshot may name. Neither `getattr` nor `partial` is needed by what stands here."""


class SnapshotRefused(ValueError):
    """A snapshot that is not opened: another key, damaged, of another release, or with a foreign class."""


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        """Refuse on the way in what would be refused on the way out."""
        named = obj if isinstance(obj, type) or hasattr(obj, "__qualname__") else type(obj)
        name = (str(named.__module__), str(named.__qualname__))
        if name not in ALLOWED:
            raise SnapshotRefused(f"{'.'.join(name)} may not be in a snapshot: River objects and plain data only")
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise SnapshotRefused(f"the snapshot names {module}.{name}, which is not on the list")
        return super().find_class(module, name)


def _signature(key: bytes, signed: bytes) -> bytes:
    if not key:
        raise ValueError("a snapshot needs a key to be signed with")
    return hmac.new(key, signed, hashlib.sha256).digest()


def freeze(obj: Any, key: bytes) -> bytes:
    """Sign and pickle a state.

    Raises
    ------
    SnapshotRefused
        It holds something else than plain data and the River objects in `ALLOWED`.
    ValueError
        The key is empty.
    """
    header = json.dumps({"format": FORMAT, "river": river.__version__}).encode()
    body = zstandard.ZstdCompressor(level=_LEVEL).compress(_pickled(obj))
    signed = len(header).to_bytes(_LENGTH, "big") + header + body
    return _signature(key, signed) + signed


def weigh(obj: Any) -> int:
    """Return the bytes of a state, not compressed. Raises `SnapshotRefused` as `freeze` does."""
    return len(_pickled(obj))


def _pickled(obj: Any) -> bytes:
    body = io.BytesIO()
    _Pickler(body, protocol=4).dump(obj)
    return body.getvalue()


def thaw(body: bytes, key: bytes) -> Any:
    """Open what `freeze` made, with the same key, format and version of River.

    Raises
    ------
    SnapshotRefused
        With the reason. After another version of River, learn again from the topic `examples`.
    ValueError
        The key is empty.
    """
    signed = body[_DIGEST:]
    if not hmac.compare_digest(_signature(key, signed), body[:_DIGEST]):
        raise SnapshotRefused("the signature does not fit: another key, or the snapshot was cut or changed")
    start = _LENGTH + int.from_bytes(signed[:_LENGTH], "big")
    header = json.loads(signed[_LENGTH:start])
    for name, known in (("format", (FORMAT, _PLAIN)), ("river", (river.__version__,))):
        if header[name] not in known:
            raise SnapshotRefused(
                f"the snapshot was made with {name} {header[name]}, this is {known[0]}: learn again from `examples`"
            )
    body = signed[start:] if header["format"] == _PLAIN else zstandard.ZstdDecompressor().decompress(signed[start:])
    return _Unpickler(io.BytesIO(body)).load()
