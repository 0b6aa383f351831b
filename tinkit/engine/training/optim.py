"""The optimiser, which is timm's, over parameter groups with the published multiples."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tinkit.errors import UsageError, did_you_mean
from tinkit.models import Classifier
from tinkit.recipe.training import OptimConfig
from tinkit.timm_import import import_timm

# (learning-rate multiple, decay multiple) by kind of parameter: TSN's policies as the TIN repository uses them
_MULTIPLES: dict[str, tuple[float, float]] = {
    "first_conv_weight": (1, 1),
    "first_conv_bias": (2, 0),
    "weight": (1, 1),
    "bias": (2, 0),
    "norm": (1, 0),
    "flow_conv_weight": (5, 1),  # the first convolution of flow, whose weights were made for RGB
    "flow_conv_bias": (10, 0),
    "classifier_weight": (5, 1),
    "classifier_bias": (10, 0),
}
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def parameter_groups(model: Classifier, config: OptimConfig) -> list[dict[str, Any]]:
    """The model's trainable parameters in groups: ``params``, ``weight_decay``, ``lr_scale`` and ``group_name``.

    With ``groups = "published"`` the multiples are those of Wang et al. (TSN, ECCV 2016) as TIN trains with them; a
    classifier with ``fc_lr5 = false`` learns like any other layer. With ``"single"`` there is one group.
    """
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if config.groups == "single":
        parameters = [parameter for _, parameter in trainable]
        return [{"params": parameters, "weight_decay": config.weight_decay, "lr_scale": 1.0, "group_name": "all"}]
    kinds = _parameter_kinds(model, fc_lr5=config.fc_lr5)
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in trainable:
        groups.setdefault(kinds[name], []).append(parameter)
    return [
        {
            "params": groups[kind],
            "weight_decay": config.weight_decay * decay,
            "lr_scale": float(scale),
            "group_name": kind,
        }
        for kind, (scale, decay) in _MULTIPLES.items()
        if kind in groups
    ]


def build_optimizer(model: Classifier, config: OptimConfig) -> torch.optim.Optimizer:
    """timm's optimiser of that name over :func:`parameter_groups`."""
    import_timm()
    from timm.optim import create_optimizer_v2, list_optimizers

    known = [str(name) for name in list_optimizers()]
    if config.name not in known:
        raise UsageError(f"optim.name: timm has no optimiser {config.name!r}{did_you_mean(config.name, known)}")
    # timm calls plain momentum "momentum" and Nesterov's "sgd"
    name = "momentum" if config.name == "sgd" and not config.nesterov else config.name
    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        parameter_groups(model, config),
        opt=name,
        lr=config.lr,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
    )
    return optimizer


def _parameter_kinds(model: Classifier, *, fc_lr5: bool) -> dict[str, str]:
    """Every parameter's full name to its kind, a key of the multiples."""
    kinds: dict[str, str] = {}
    first_conv = next((module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Conv3d)), None)
    for module_name, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            # r-TCN's centres and gains are such as biases are: decay would pull them to zero, where they mean something
            last = "bias" if name.endswith(("bias", "_logit")) else "weight"
            if isinstance(module, _NORMS):
                kind = "norm"
            elif module is model.classifier and fc_lr5:
                kind = f"classifier_{last}"
            elif module is first_conv:
                kind = f"flow_conv_{last}" if model.modality == "flow" else f"first_conv_{last}"
            else:
                kind = last
            kinds[f"{module_name}.{name}" if module_name else name] = kind
    return kinds
