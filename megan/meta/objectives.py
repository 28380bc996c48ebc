"""Each loss of the paper (sections 3.3, 3.4 and 4.2), a value a task.

Logits are [tasks, images, outputs], critic values [tasks, images], losses [tasks].
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over images of -log softmax(logits)[label]; `labels` int64 [images]."""
    log_probability = logits.log_softmax(dim=-1)
    index = labels.expand(logits.shape[:2])[..., None]
    return -log_probability.gather(-1, index)[..., 0].mean(dim=1)


def n_plus_1(logits_real: Tensor, labels: Tensor, logits_fake: Tensor, real_weight: float) -> Tensor:
    """(w * mean_real + mean_fake) / (w + 1), fakes labelled with the last output (section 4.2).

    With w = 3 reals count three times as much as fakes; the division keeps MAML's scale.
    """
    fake = torch.full((logits_fake.shape[1],), logits_fake.shape[2] - 1, device=logits_fake.device)
    return (real_weight * cross_entropy(logits_real, labels) + cross_entropy(logits_fake, fake)) / (real_weight + 1)


def critic_value(logits: Tensor) -> Tensor:
    """How real the N+1 classifier finds an image: logsumexp of the N classes minus the fake output.

    Its sigmoid is the probability of any class but "fake" (Zhang et al. 2018, MetaGAN).
    """
    return logits[..., :-1].logsumexp(dim=-1) - logits[..., -1]


def generator_loss(gan_loss: str, critic_on_fakes: Tensor) -> Tensor:
    """What phi descends on, for D = sigmoid(critic value) (Goodfellow et al. 2014)."""
    if gan_loss == "vanilla":  # log(1 - D(G(z)))
        return -F.softplus(critic_on_fakes).mean(dim=1)
    if gan_loss == "non_saturating":  # -log D(G(z))
        return F.softplus(-critic_on_fakes).mean(dim=1)
    raise ValueError(f"gan_loss {gan_loss!r}: expected vanilla or non_saturating")
