"""The losses, by their names in the journal, in TensorBoard and in reports.

All are means over a lane's batch, then over the lanes, in float32, of the discriminator's logits `[B]`; σ is the
logistic function. What the discriminator is shown has been augmented and made noisy before where the recipe has
differentiable augmentation or instance noise.

real_loss        the discriminator's on this step's real tiles: -t·log σ(x) - (1 - t)·log(1 - σ(x)) with t =
                 `recipe.real_target`; below 1 (one-sided label smoothing, arXiv 1606.03498, section 3.4) its least is
                 the entropy of t, not 0
fake_loss        the discriminator's on this step's fakes: -log(1 - σ(x))
history_loss     the same on fakes of earlier generators (S33); only in steps that train on them
generator_loss   the generator's when its fakes are called fake: -log σ(x), the non-saturating loss, whose target stays
                 1; the mean over the step's generator updates
generator_regularizer, discriminator_regularizer
                 L2: half the constant times the sum of the squared weights, biases and norms apart (S24)
generator_regularizer_share, discriminator_regularizer_share
                 the regularizer's share of the network's total loss (S25); the total is generator_loss, or real_loss
                 and fake_loss, plus the regularizer

A name that ends in `_before` was taken in the forward pass of the update itself: each loss before its own update, so
on path A fake_loss follows the update on real tiles, and generator_loss follows all of the discriminator's. A name
that ends in `_after` was evaluated again after all updates of the step (S15), on its first noise, at log steps alone.
An update minimises its loss plus its network's regularizer; on path B the discriminator's is real_loss plus fake_loss.

Beside the losses: `reals_called_fake` and `fakes_called_real`, shares of the global batch in the same forward passes as
real_loss_before and fake_loss_before (on path A the fakes' follows the update on reals), and `path_a`, 1 or 0 (S39).
"""

import torch.nn.functional as F
from torch import Tensor


def called_real_loss(logits: Tensor, target: float = 1.0) -> Tensor:
    """Cross-entropy of logits `[B]` against "real" with probability `target`: at 1 it is 0 when all are called real.
    Scalar."""
    loss = F.softplus(-logits.float()).mean()
    return loss if target == 1.0 else loss + (1.0 - target) * logits.float().mean()


def called_fake_loss(logits: Tensor) -> Tensor:
    """Cross-entropy of logits `[B]` against "fake". Scalar."""
    return F.softplus(logits.float()).mean()
