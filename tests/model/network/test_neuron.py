"""I-LIF neuron: firing, gradients and membranes by hand."""

import pytest
import torch

from spikewatch.model.errors import StateError
from spikewatch.model.network.neuron import ILIF, FireInteger, ilif_step
from spikewatch.model.network.step import StepContext


def fire(u: list[float], d_max: int = 4) -> list[float]:
    return FireInteger.apply(torch.tensor(u), d_max).tolist()


def test_fire_rounds_half_to_even_and_clips() -> None:
    assert fire([-3.0, -0.5, 0.5, 0.5001, 1.5, 2.5, 3.49, 4.5, 9.0]) == [0, 0, 0, 1, 2, 2, 3, 4, 4]


def test_neuron_equals_values_by_hand() -> None:
    """beta 0.25: 1.75 fires 2 and keeps -0.0625; 0.75 more makes 0.6875, fires 1, keeps -0.078125."""
    s, h = ilif_step(torch.tensor(1.75), torch.tensor(0.0), 0.25, 4)
    assert (s.item(), h.item()) == (2.0, -0.0625)
    s, h = ilif_step(torch.tensor(0.75), h, 0.25, 4)
    assert (s.item(), h.item()) == (1.0, -0.078125)


def test_surrogate_gradient_is_a_closed_rectangle() -> None:
    u = torch.tensor([-1e-6, 0.0, 0.3, 4.0, 4.000001], requires_grad=True)
    FireInteger.apply(u, 4).sum().backward()
    assert u.grad is not None
    assert u.grad.tolist() == [0, 1, 1, 1, 0]


def test_reset_has_no_gradient_but_membrane_has() -> None:
    x = torch.tensor([0.7], requires_grad=True)
    _, h = ilif_step(x, torch.zeros(1), 0.25, 4)
    h.sum().backward()
    assert x.grad is not None
    assert x.grad.item() == 0.25


def test_gradient_flows_through_the_membrane_in_time() -> None:
    x = torch.tensor([[0.4], [0.6]], requires_grad=True)
    _, h = ilif_step(x[0], torch.zeros(1), 0.25, 4)
    s, _ = ilif_step(x[1], h, 0.25, 4)
    s.sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.25, 1.0]


def test_missing_or_misshapen_membrane_is_rejected() -> None:
    lif = ILIF(0.25, 4)
    lif.name = "layer"
    x = torch.zeros(1, 2, 3, 4)
    with pytest.raises(StateError, match="no membrane for layer 'layer'"):
        lif(x, StepContext({}))
    with pytest.raises(StateError, match=r"\(2, 2, 3, 4\)"):
        lif(x, StepContext({"layer": torch.zeros(2, 2, 3, 4)}))
