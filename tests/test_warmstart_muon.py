"""Muon in float32 against torch's own."""

import torch

from tac_rl.learning.warmstart.muon import Muon, orthogonal


def test_updates_are_those_of_torchs_muon_but_for_the_rounding_of_bfloat16() -> None:
    for shape in ((24, 56), (56, 24), (32, 32)):
        ours, theirs = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
        steppers = [
            Muon([ours], lr=0.1, momentum=0.95, weight_decay=0.1),
            torch.optim.Muon([theirs], lr=0.1, momentum=0.95, weight_decay=0.1),
        ]
        generator = torch.Generator().manual_seed(1)
        for _ in range(4):
            gradient = torch.randn(shape, generator=generator)
            ours.grad, theirs.grad = gradient, gradient.clone()
            for stepper in steppers:
                stepper.step()
        moved = (theirs - 1).abs().max().item()
        assert moved > 0.1
        assert (ours - theirs).abs().max().item() < 0.03 * moved, shape


def test_singular_values_come_close_to_one() -> None:
    # Larger than the singular values of a random square matrix, of which the smallest needs more steps.
    matrix = torch.randn(40, 90, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min().item() > 0.6 and values.max().item() < 1.3
