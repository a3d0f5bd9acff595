"""Our Adam is PyTorch's, without what loading it takes."""

import subprocess
import sys

import torch

from satgan.gan.adam import Adam

LOADS = """
import sys, torch
from satgan.gan.adam import Adam
weights = torch.ones(3)
Adam(weights, 0.1, (0.5, 0.9)).step(torch.ones(3))
assert float(weights[0]) < 1
sys.exit("torch._dynamo" in sys.modules)
"""


def test_it_gives_the_bits_of_pytorchs() -> None:
    random = torch.Generator().manual_seed(3)
    ours = torch.randn(1001, generator=random)
    theirs = ours.clone()
    adam = Adam(ours, 3e-3, (0.5, 0.99))
    reference = torch.optim.Adam([theirs], lr=3e-3, betas=(0.5, 0.99), fused=True)
    for _ in range(5):
        theirs.grad = torch.randn(1001, generator=random)
        adam.step(theirs.grad)
        reference.step()
        assert torch.equal(ours, theirs)
    assert {name: value.tolist() for name, value in adam.moments.items()} == {
        name: value.tolist() for name, value in reference.state[theirs].items()
    }


def test_it_does_not_load_the_compiler() -> None:
    assert subprocess.run([sys.executable, "-c", LOADS], check=False).returncode == 0
