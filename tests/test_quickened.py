"""The network that predict runs answers as the trained one does."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from spinalroots.hardnet.anatomy.network import AnatomyNetwork
from spinalroots.inference.layout import grouped, quickened


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


def test_batch_norms_of_volumes_or_of_a_network_that_learns_stay_as_they_are():
    volumes = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2)).eval()
    learns = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    assert [type(one) for one in quickened(volumes)] == [nn.Conv3d, nn.BatchNorm3d]
    assert [type(one) for one in quickened(learns)] == [nn.Conv2d, nn.BatchNorm2d]


def block(dim: int) -> nn.Sequential:
    """As nnU-Net builds one: the same norm is found by two names."""
    convolution, norm = (
        (nn.Conv2d, nn.InstanceNorm2d) if dim == 2 else (nn.Conv3d, nn.InstanceNorm3d)
    )
    torch.manual_seed(dim)
    made = nn.Sequential(convolution(2, 4, 3, padding=1), norm(4, eps=1e-3, affine=True), nn.ReLU())
    nn.init.uniform_(made[1].weight), nn.init.uniform_(made[1].bias)
    made.add_module("again", nn.Sequential(made[1]))
    return made


@pytest.mark.parametrize("dim", [2, 3])
def test_instance_norms_as_group_norms_answer_and_learn_alike(dim):
    network = block(dim)
    group = grouped(copy.deepcopy(network))
    assert not any("InstanceNorm" in type(one).__name__ for one in group.modules())
    assert list(group.state_dict()) == list(network.state_dict())
    assert len(list(group.parameters())) == len(list(network.parameters()))
    image = torch.randn(3, 2, *[8] * dim)
    expected, found = network(image), group(image)
    assert torch.allclose(found, expected, atol=1e-5)
    for one in (expected, found):
        (one**2).sum().backward()
    for one, other in zip(network.parameters(), group.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-3, rtol=1e-3)


def test_a_network_of_volumes_is_quickened_by_its_norms():
    assert isinstance(quickened(block(3).eval())[1], nn.GroupNorm)
