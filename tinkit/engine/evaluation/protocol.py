"""The protocol of a test: how the views of a clip are taken, in a score file and beside published numbers."""

from __future__ import annotations

from typing import Any

from tinkit.data.config.views import ClipConfig, ViewConfig, override_views
from tinkit.errors import UsageError, UserError
from tinkit.recipe import Published, Recipe
from tinkit.scores import ScoreInfo

# The keys of a protocol that a [[published]] entry may state beside its views and average.
_STATED = ("sampling", "stride", "fps", "scale", "crop", "flip", "num_segments")


def canonical(views: ViewConfig, clip: ClipConfig) -> ViewConfig:
    """``views`` with one name for each protocol: what changes no frame has its default, the clip's own T is None."""
    changes: dict[str, Any] = {}
    if _one_centre(views.sampling, views.views):
        changes["sampling"] = ViewConfig.model_fields["sampling"].default
    if views.sampling != "dense" or views.fps is not None:
        changes["stride"] = ViewConfig.model_fields["stride"].default
    if views.num_segments == clip.num_segments:
        changes["num_segments"] = None
    return views.model_copy(update=changes)


def canonical_json(views: ViewConfig, clip: ClipConfig) -> str:
    """A canonical protocol with its average as JSON, without the later keys where they have their defaults.

    So it is the same text that score files of earlier releases have hashed. The precision is not in it: ``auto`` does
    not name one.
    """
    one = canonical(views, clip)
    later = ("stride", "fps", "flip", "num_segments")
    same = {key for key in later if getattr(one, key) == ViewConfig.model_fields[key].default}
    return one.model_dump_json(exclude=same | {"amp", "batch"})


def protocol_of(views: ViewConfig, clip: ClipConfig) -> dict[str, Any]:
    """What a score file records of its views: ``sampling``, for dense ``stride`` or ``fps``, ``num_segments``, and but
    for sound ``scale``, ``crop`` and ``flip``.
    """
    protocol: dict[str, Any] = {"sampling": _rule(views.sampling, views.views)}
    if views.sampling == "dense":
        protocol |= {"stride": views.stride} if views.fps is None else {"fps": views.fps}
    if clip.modality != "audio":
        protocol |= {"scale": views.scale, "crop": views.crop, "flip": views.flip}
    return protocol | {"num_segments": views.num_segments or clip.num_segments}


def stated(entry: Published) -> dict[str, Any]:
    """The keys of its protocol that a published number states."""
    keys = {key: value for key in _STATED if (value := getattr(entry, key)) is not None}
    if "sampling" in keys:
        keys["sampling"] = _rule(keys["sampling"], entry.views)
    if keys.get("sampling", "dense") != "dense" or "fps" in keys:
        keys.pop("stride", None)
    return keys


def fits(entry: Published, info: ScoreInfo) -> bool:
    """Whether scores were made as a published number was: its split, views, average and every key that it states."""
    if (entry.split, entry.views) != (info.split, info.views):
        return False
    averaged = entry.views != "1x1" or info.protocol.get("flip", False)
    if averaged and entry.average not in (None, info.average):
        return False
    return all(info.protocol.get(key) == value for key, value in stated(entry).items())


def published_views(recipe: Recipe, entry: Published) -> ViewConfig:
    """The views by which a published number is to be repeated: the recipe's, with all that the entry states.

    Raises :class:`~tinkit.errors.UserError` for an entry whose keys do not go together.
    """
    keys = {key: getattr(entry, key) for key in ("views", "average", *_STATED)}
    try:
        views = override_views(recipe.test, **keys)
        check_segments(recipe, views)
    except UsageError as error:
        raise UserError(
            f"the published {entry.number:g} {entry.metric} ({entry.source}) cannot be repeated: {error.problem}",
            expected=error.expected,
            fix="correct that [[published]] entry of the recipe",
        ) from error
    return views


def check_segments(recipe: Recipe, views: ViewConfig) -> None:
    """Raise a UsageError where a model made for its number of frames is to see another than it was trained on."""
    trained, why = recipe.clip.num_segments, recipe.model.fixed_frames
    if why is not None and views.num_segments not in (None, trained):
        raise UsageError(
            f"--segments {views.num_segments}: this model sees {trained} frames, as in training, and only that many",
            expected=f"{trained}: {why}",
            fix="leave --segments (test.num_segments) out; TSN and TSM can be tested on any number of frames",
        )


def _one_centre(sampling: str, views: str) -> bool:
    """Whether the rule comes to the one sample of segment centres, by whatever name."""
    return sampling != "dense" and views.startswith("1x")


def _rule(sampling: str, views: str) -> str:
    return "centre" if _one_centre(sampling, views) else sampling
