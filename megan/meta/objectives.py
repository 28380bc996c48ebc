"""Each loss of the paper (sections 3.2 to 3.4, 4.2), a value a task.

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


def generator_loss(gan_loss: str, on_fakes: Tensor) -> Tensor:
    """What phi descends on; `on_fakes` are critic values, and D = sigmoid(critic value)."""
    if gan_loss == "vanilla":  # log(1 - D(G(z))), Goodfellow et al. 2014
        return -F.softplus(on_fakes).mean(dim=1)
    if gan_loss == "non_saturating":  # -log D(G(z)), ibid. section 3
        return F.softplus(-on_fakes).mean(dim=1)
    return -on_fakes.mean(dim=1)  # Wasserstein, Arjovsky et al. 2017: the printed sign turned to descend


def discriminator_loss(gan_loss: str, on_reals: Tensor, on_fakes: Tensor) -> Tensor:
    """What the discriminator descends on, without the gradient penalty."""
    if gan_loss in ("vanilla", "non_saturating"):  # -log D(x) - log(1 - D(G(z)))
        return F.softplus(-on_reals).mean(dim=1) + F.softplus(on_fakes).mean(dim=1)
    return on_fakes.mean(dim=1) - on_reals.mean(dim=1)  # the critic maximises D(x) - D(G(z))


def gradient_penalty(on_between: Tensor, between: Tensor) -> Tensor:
    """(||grad_x D(x)|| - 1)^2, mean over images (Gulrajani et al. 2017, equation 3).

    **Arguments** `on_between` critic values of the images `between` [tasks, images,
    height, width, 1], which must require gradients.
    """
    (slope,) = torch.autograd.grad(on_between.sum(), between, create_graph=True)
    # The tiny term keeps the derivative of the root finite where the slope is zero.
    norm = (slope.square().sum(dim=(2, 3, 4)) + 1e-12).sqrt()
    return (norm - 1).square().mean(dim=1)
