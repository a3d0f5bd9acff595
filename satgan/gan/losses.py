"""The losses, by their names in the journal. All are means over a lane's batch, in float32, of logits `[B]`.

real_loss        what the discriminator loses on real tiles
fake_loss        what it loses on the fakes of this step
history_loss     what it loses on fakes of earlier generators (S33)
generator_loss   what the generator loses when its fakes are called fake (the non-saturating loss)
*_regularizer    L2: half the constant times the sum of the squared weights, biases and norms apart (S24)

A name that ends in `_before` was taken in the forward pass of the update itself, one that ends in `_after` was
evaluated again after all updates of the step (S15).
"""

import torch.nn.functional as F
from torch import Tensor


def called_real_loss(logits: Tensor) -> Tensor:
    """Cross-entropy of logits `[B]` against "real": 0 when all are called real. Scalar."""
    return F.softplus(-logits.float()).mean()


def called_fake_loss(logits: Tensor) -> Tensor:
    """Cross-entropy of logits `[B]` against "fake". Scalar."""
    return F.softplus(logits.float()).mean()
