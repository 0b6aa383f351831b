"""Which of the dictionaries in a checkpoint are weights, and which of these are meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tinkit.errors import UserError
from tinkit.pickles.names import StandIn
from tinkit.pickles.tensors import OddTensor, TensorRef

# Where training scripts put the weights inside what they save; the first that is there is taken. Averaged weights come
# last, as everywhere here: raw weights are meant unless it is said.
RAW = (
    "state_dict", "model", "model_state_dict", "model_state", "weights", "net", "network", "params", "model_weights",
    "model_params", "net_state_dict", "network_state_dict", "net_state", "state", "module", "base_model", "backbone",
    "encoder", "teacher", "student", "classifier_state_dict", "model_dict", "weight", "parameters", "video_model",
)  # fmt: skip
AVERAGED = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema", "model_ema_state_dict", "ema_model", "params_ema",
    "ema_state", "ema_weights", "ema_params", "averaged_model", "swa_state_dict", "model_averaged",
)  # fmt: skip
WRAPPERS = (*RAW, *AVERAGED)
_COMMON = ("state_dict", "model", "model_state_dict", "model_state", "weights")  # what goes without saying
_NEVER = ("optim", "scheduler", "scaler", "grad", "momentum", "loss", "criterion", "buffer_dict")
_DEPTH = 3  # {"model": {"state_dict": ...}} is as deep as scripts go


@dataclass(frozen=True)
class Weights:
    """One dictionary of weights: where it lies in the file (``model.state_dict``; empty: the file itself)."""

    place: str
    state: dict[str, Any]


def find_weights(content: Any, wanted: str | None = None) -> tuple[Weights, list[str]]:
    """The weights that are meant, or those at the place ``wanted``, and where else weights lie.

    Entries that are not tensors are left out. Raises :class:`~tinkit.errors.UserError` if there are none.
    """
    found = list(_all_weights(content, "", _DEPTH))
    if wanted is not None:
        chosen = next((one for one in found if one.place == wanted), None)
        if chosen is None:
            raise UserError(f"holds no weights under {wanted!r}", expected=_listed(found, content))
        return chosen, []
    known = sorted((one for one in found if _rank(one.place) is not None), key=lambda one: _rank(one.place) or (0,))
    if not known:
        raise UserError("holds no weights", expected=_listed(found, content))
    return known[0], [one.place or "the file itself" for one in found if one is not known[0] and one.place]


def is_worth_saying(place: str) -> bool:
    """Whether to report that the weights were taken from there: any other place could have been meant."""
    return any(part not in _COMMON for part in place.split(".") if part)


def is_averaged(place: str) -> bool:
    """Whether the name of a place says that its weights are a moving average."""
    return any(part in AVERAGED for part in place.split("."))


def _all_weights(content: Any, place: str, depth: int) -> Iterator[Weights]:
    if not isinstance(content, dict):
        return
    state = {key: value for key, value in content.items() if isinstance(key, str) and _is_tensor(value)}
    if state:
        yield Weights(place, state)
    for key, value in content.items() if depth else ():
        if isinstance(key, str) and isinstance(value, dict) and not any(word in key.lower() for word in _NEVER):
            yield from _all_weights(value, f"{place}.{key}" if place else key, depth - 1)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, TensorRef | OddTensor)


def _rank(place: str) -> tuple[int, ...] | None:
    """What is taken first is smallest: raw before averaged, the usual names in their order; None for other places.

    Tensors that lie beside a dictionary of weights (a best score, say) are the last to be taken for weights.
    """
    if not place:
        return (2,)
    parts = place.split(".")
    if not all(part in WRAPPERS for part in parts):
        return None
    return (int(is_averaged(place)), *(WRAPPERS.index(part) for part in parts))


def _listed(found: list[Weights], content: Any) -> str:
    """What the file holds, for an error that says where weights could be."""
    if found:
        some = ", ".join(f"{one.place or 'the file itself'} ({len(one.state)})" for one in found[:8])
        return f"a state dict; tensors lie under: {some}. `tinkit convert FILE --weights NAME` takes one of these"
    whole = [key for key in RAW if isinstance(content, dict) and isinstance(content.get(key), StandIn)]
    if whole and content[whole[0]].name is not None:
        return f"a state dict; {whole[0]} is a whole object ({content[whole[0]].name}): save its state_dict() instead"
    keys = [str(key)[:60] for key in content if isinstance(key, str)][:12] if isinstance(content, dict) else []
    there = f"the file's keys are {', '.join(keys)}" if keys else "the file is not a dictionary with names"
    return f"a state dict, or one under {', '.join(WRAPPERS[:6])} or the like; {there}"
