"""Options of `prune` that make no sense together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.errors import UsageError
from edgekit.prune_request import BATCH_SIZE, MULTIPLE_OF

if TYPE_CHECKING:
    from edgekit.prune_request import PruneRequest

_DATA = "give some with --data DATA"
_TARGETS = "--sparsity 50%, --macs 50%, --size 200KB or --latency 0.6x"


def check(request: PruneRequest) -> None:
    """Refuse a request whose options contradict each other.

    Raises:
        UsageError: the message names the option, and what to do.
    """
    for one in (_patterns, _targets, _structured_only, _unstructured_only, _training, _numbers):
        one(request)


def _targets(request: PruneRequest) -> None:
    names = ("sparsity", "macs", "size", "latency")
    given = [f"--{name}" for name in names if getattr(request, name) is not None]
    if len(given) > 1:
        _refuse(f"{' and '.join(given)}: several targets", "give one of them")
    if request.sparsity is not None and not 0 < request.sparsity < 1:
        _refuse(
            f"--sparsity {request.sparsity:g}: not a share between 0 and 1",
            "give one, as 0.5 or 50%",
        )
    if not (request.prunes or request.cluster is not None or request.qat):
        _refuse("prune: nothing to do", f"give {_TARGETS}, or --cluster N, or --qat")


def _structured_only(request: PruneRequest) -> None:
    if request.on is not None and request.latency is None:
        _refuse(f"--on {request.on}: says where latency is measured", "use it with --latency 0.6x")
    if request.measure != "float32" and request.size is None and request.latency is None:
        _refuse(
            f"--measure {request.measure}: says of which file --size and --latency speak",
            "use it with one of them",
        )
    if not request.prunes:
        _no_channels(request, "without a target", f"give {_TARGETS}")
    if request.method.is_structured:
        return
    way = f"with --method {request.method}"
    for name, given, default in (
        ("macs", request.macs, None),
        ("size", request.size, None),
        ("latency", request.latency, None),
    ):
        if given is not default:
            _refuse(
                f"--{name} {way}: zeros are multiplied and stored like any number",
                f"use --method structured for --{name}, or give --sparsity",
            )
    _no_channels(request, way, "use it with --method structured")


def _no_channels(request: PruneRequest, way: str, advice: str) -> None:
    """Refuse what says which channels are cut, where none are."""
    for option, value, default in (
        ("importance", request.importance, "magnitude"),
        ("ratios", request.ratios, "uniform"),
        ("multiple-of", request.multiple_of, MULTIPLE_OF),
    ):
        if value != default:
            _refuse(f"--{option} {value} {way}: is about channels", f"{advice}, or leave it out")


def _unstructured_only(request: PruneRequest) -> None:
    kind = request.method.kind
    if request.scope != "layer" and kind != "unstructured":
        _only(
            f"--scope {request.scope}",
            f"with --method {request.method}",
            "single weights",
            "--method unstructured",
        )
    if request.schedule != "polynomial" and kind == "structured":
        _only(
            f"--schedule {request.schedule}",
            "with --method structured",
            "weights that become zero bit by bit",
            "--method unstructured",
        )


def _patterns(request: PruneRequest) -> None:
    method, given = request.method, request.sparsity
    if method.sparsity is not None and given is not None and abs(given - method.sparsity) > 0.005:
        _refuse(
            f"--sparsity {given * 100:g}%: --method {method} makes {method.sparsity * 100:.3g} % "
            "zeros",
            "leave --sparsity out, or choose another pattern",
        )
    is_free = method.kind in ("unstructured", "block")
    if is_free and request.target is None:
        _refuse(f"--method {method}: how much is to become zero", "give --sparsity 80%")


def _training(request: PruneRequest) -> None:
    if request.data is None:
        _without_data(request)
    elif request.epochs_to_train == 0:
        if request.qat:
            _refuse("--qat with --epochs 0: learns by training", "give 1 epoch or more")
        _without_epochs(request, "with --epochs 0: nothing is trained", "give 1 epoch or more")
    if request.temperature != 4 and request.teacher is None:
        _refuse(
            f"--temperature {request.temperature:g}: softens what a teacher says",
            "use it with --teacher",
        )
    if request.preprocess and request.data is None and request.test is None:
        _refuse(
            f"--preprocess {request.preprocess[0]}: says how data become input",
            f"{_DATA} or --test DATA",
        )
    for option, text in (("data", request.data), ("test", request.test)):
        if text is not None and (text == "random" or text.startswith("random:")):
            _refuse(
                f"--{option} {text}: random numbers have no labels to train or score on",
                "give real data, or leave it out to prune without",
            )


def _without_data(request: PruneRequest) -> None:
    if request.epochs:
        _refuse(f"--epochs {request.epochs}: nothing to train on", _DATA)
    if request.qat:
        _refuse("--qat: learns the ranges of activations by training", _DATA)
    if request.importance == "taylor":
        _refuse("--importance taylor: needs the gradients of real samples", _DATA)
    if request.ratios == "sensitivity":
        _refuse("--ratios sensitivity: tries every layer on real samples", _DATA)
    if request.loss is not None:
        _refuse(f"--loss {request.loss}: nothing is trained", _DATA)
    _without_epochs(request, "nothing is trained", _DATA)


def _without_epochs(request: PruneRequest, what: str, advice: str) -> None:
    for option, is_given in (
        ("teacher", request.teacher is not None),
        ("resume", request.resume),
        ("learning-rate", request.learning_rate is not None),
        ("optimizer", request.optimizer is not None),
        ("metric", bool(request.metrics)),
        ("batch-size", request.batch_size != BATCH_SIZE),
        ("schedule constant", request.schedule != "polynomial"),
    ):
        if is_given:
            joined = f" {what}" if what.startswith("with") else f": {what}"
            _refuse(f"--{option}{joined}", advice)


def _numbers(request: PruneRequest) -> None:
    for option, value, least in (
        ("epochs", request.epochs, 0),
        ("batch-size", request.batch_size, 1),
        ("multiple-of", request.multiple_of, 1),
    ):
        if value is not None and value < least:
            _refuse(f"--{option} {value}: must be at least {least}", "leave it out for the default")
    if any(not name.strip() for name in request.skip):
        _refuse("--skip: an empty name", "give the name or the type of a layer")


def _only(option: str, way: str, what: str, method: str) -> None:
    _refuse(f"{option} {way}: is about {what}", f"use it with {method}, or leave it out")


def _refuse(what: str, advice: str) -> None:
    message = f"{what}; {advice}"
    raise UsageError(message)
