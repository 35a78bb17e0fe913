"""A trained network as a CPU runs it fastest: the same function, up to rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def grouped(network: nn.Module) -> nn.Module:
    """A network, changed in place, whose instance norms are group norms of one channel a group.

    The same function of the same parameters: torch's kernel on a CPU needs less time for it, so
    that a training step of nnU-Net takes five sixths.
    """
    from torch import nn

    for module in list(network.modules()):
        for name, norm in list(module.named_children()):
            if (
                isinstance(norm, nn.InstanceNorm2d | nn.InstanceNorm3d)
                and norm.affine
                and not norm.track_running_stats
            ):
                group = nn.GroupNorm(norm.num_features, norm.num_features, norm.eps)
                group.weight, group.bias = norm.weight, norm.bias
                setattr(module, name, group.train(norm.training))
    return network


def quickened(network: nn.Module) -> nn.Module:
    """A network in eval mode, changed in place; one that is not all 2D: :func:`grouped`.

    Each batch norm goes into the convolution before it, and the channels of a pixel lie side by
    side: three quarters of the time, and logits that differ by a few millionths.
    """
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    if network.training:
        return network
    if any(weight.dim() > 4 for weight in network.parameters()):
        return grouped(network)
    for block in [one for one in network.modules() if isinstance(one, nn.Sequential)]:
        for index in range(len(block) - 1):
            convolution, norm = block[index], block[index + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[index] = fuse_conv_bn_eval(convolution, norm)
                block[index + 1] = nn.Identity()
    return network.to(memory_format=torch.channels_last)
