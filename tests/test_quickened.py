"""The network that predict runs answers as the trained one does."""

from __future__ import annotations

import copy

import torch
from torch import nn

from spinalroots.hardnet.anatomy.network import AnatomyNetwork
from spinalroots.inference.layout import quickened


def settled(network: nn.Module) -> nn.Module:
    """With statistics and scales of batch norms as after a training."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low in (
                (module.running_mean, -0.5),
                (module.running_var, 0.5),
                (module.weight.data, 0.5),
                (module.bias.data, -0.5),
            ):
                value.copy_(torch.rand(value.shape, generator=generator) + low)
    return network.eval()


def test_logits_differ_by_rounding_only(smoke_params):
    squares = smoke_params.anatomy
    network = settled(AnatomyNetwork(squares)).tissues
    image = torch.randn(3, 2 * squares.neighbours + 1, squares.size_vox, squares.size_vox)
    quick = quickened(copy.deepcopy(network))
    with torch.inference_mode():
        expected, found = network(image), quick(image)
    assert not any(isinstance(one, nn.BatchNorm2d) for one in quick.modules())
    assert expected.abs().max() > 0.1
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


def test_a_network_of_volumes_or_one_that_learns_stays_as_it_is():
    volumes = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2)).eval()
    learns = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    assert [type(one) for one in quickened(volumes)] == [nn.Conv3d, nn.BatchNorm3d]
    assert [type(one) for one in quickened(learns)] == [nn.Conv2d, nn.BatchNorm2d]
