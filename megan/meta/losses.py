"""The losses of classification (sections 3.2, 3.3, 4.2), one value for each task. `gan_losses` has the GAN's.

Logits are [tasks, images, outputs], critic values [tasks, images], losses [tasks].
"""

import torch
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over images of -log softmax(logits)[label]; `labels` int64 [images]."""
    log_probability = logits.log_softmax(dim=-1)
    index = labels.expand(logits.shape[:2])[..., None]
    return -log_probability.gather(-1, index)[..., 0].mean(dim=1)


def real_and_fake(on_real: Tensor, on_fake: Tensor, real_weight: float) -> Tensor:
    """(w * mean_real + mean_fake) / (w + 1): with w = 3 reals count three times (section 4.2).

    The division keeps MAML's scale, and with it the meaning of the inner step size.
    """
    return (real_weight * on_real + on_fake) / (real_weight + 1)


def fake_output(logits: Tensor) -> Tensor:
    """The label of every fake in N+1: the last output. int64 [images]"""
    return torch.full((logits.shape[1],), logits.shape[2] - 1, device=logits.device)


def critic_value(logits: Tensor) -> Tensor:
    """How real the N+1 classifier finds an image: logsumexp of the N classes minus the fake output.

    Its sigmoid is the probability of any class but "fake" (Zhang et al. 2018, MetaGAN).
    """
    return logits[..., :-1].logsumexp(dim=-1) - logits[..., -1]
