"""The three streams: what each is made of, and whose gradient crosses the split."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from defense.psgl.decision import FUSED_ALONE
from defense.psgl.recovery import recovered, recovery
from defense.psgl.server import STREAMS, StreamServer
from defense.psgl.settings import ServerSettings
from defense.split.network import LABEL_SMOOTHING
from foundation.errors import UsageError

CHANNELS, CLASSES = 4, 3


def server(**changed: object) -> StreamServer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = StreamServer(CHANNELS, 2, CLASSES, ServerSettings(**changed))  # type: ignore[arg-type]
        # As after some learning: it starts with zeros.
        nn.init.normal_(made.fusion.weight, std=0.2)
        return made


def smashed(batch: int = 6) -> Tensor:
    return torch.rand(batch, CHANNELS, 8, 8, generator=torch.Generator().manual_seed(1))


def goal(batch: int = 6) -> Tensor:
    return torch.arange(batch) % CLASSES


def crossing(network: nn.Module, z: Tensor, y: Tensor) -> Tensor:
    """What goes back to the client."""
    leaf = z.clone().requires_grad_()
    network.loss(leaf, y)[1].backward()  # type: ignore[operator]
    assert leaf.grad is not None
    return leaf.grad


def test_the_fused_stream_is_the_convolution_of_both_and_the_attacked_one() -> None:
    network, z = server().eval(), smashed()
    rest = recovered(z, network.settings.recovery)
    literal = network.fusion(torch.cat([z, rest], 1)) + z
    expected = network.heads["fused"](network.trunk(literal).mean((2, 3)))
    with torch.no_grad():
        streams = network.streams(z)
    assert tuple(streams) == STREAMS
    assert torch.allclose(streams["fused"], expected, atol=1e-5)
    assert torch.allclose(streams["attacked"], network.heads["attacked"](network.trunk(z).mean((2, 3))), atol=1e-5)
    assert torch.allclose(streams["recovered"], network.heads["recovered"](network.trunk(rest).mean((2, 3))), atol=1e-5)


@pytest.mark.parametrize("share", [0.125, 1.0])
def test_the_gradient_that_crosses_is_of_the_fused_streams_loss_alone(share: float) -> None:
    network, z, y = server(stream_share=share).eval(), smashed(), goal()
    leaf = z.clone().requires_grad_()
    fused = functional.cross_entropy(network.streams(leaf)["fused"], y, label_smoothing=LABEL_SMOOTHING)
    (expected,) = torch.autograd.grad(fused, leaf)
    assert torch.allclose(crossing(network, z, y), expected, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_no_head_but_the_fused_one_reaches_the_client(training: bool) -> None:
    network, z, y = server().train(training), smashed(), goal()
    before = crossing(network, z, y)
    for name in ("attacked", "recovered"):
        with torch.no_grad():
            for parameter in network.heads[name].parameters():
                parameter.normal_(generator=torch.Generator().manual_seed(3))
        assert torch.equal(crossing(network, z, y), before)
    with torch.no_grad():
        network.heads["fused"].weight.mul_(2)
    assert not torch.equal(crossing(network, z, y), before)


def test_at_first_the_fused_stream_is_the_attacked_one() -> None:
    network = StreamServer(CHANNELS, 2, CLASSES, ServerSettings())
    z = smashed()
    removal = recovery(z, network.settings.recovery)
    assert torch.allclose(network._fused(z, removal) - z, network.fusion.bias[:, None, None].expand_as(z))


def test_every_head_learns() -> None:
    network = server()
    network.loss(smashed(), goal())[0].backward()
    assert all(p.grad is not None and bool(p.grad.any()) for head in network.heads.values() for p in head.parameters())
    assert network.fusion.weight.grad is not None


def test_its_answer_is_the_decision_fusion_in_logarithms() -> None:
    network, z = server().eval(), smashed()
    assert torch.allclose(network(z).exp().sum(1), torch.ones(len(z)), atol=1e-5)
    alone = server(decision=FUSED_ALONE).eval()
    assert torch.allclose(alone(z), alone.streams(z)["fused"].log_softmax(1), atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_one(training: bool) -> None:
    network = server().train(training)
    total, _ = network.loss(smashed(1), goal(1))
    total.backward()
    assert bool(torch.isfinite(total))
    assert network(smashed(1)).shape == (1, CLASSES)


def test_odd_sizes_of_smashed_data() -> None:
    z = torch.rand(2, CHANNELS, 7, 5)
    assert server().eval()(z).shape == (2, CLASSES)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_streams_that_learn_from_nothing_or_from_more_than_all_are_refused(share: float) -> None:
    with pytest.raises(UsageError):
        server(stream_share=share)
