"""A slow reference of the paper's algorithm: one task at a time, torch's own layers, plain autograd.

Shares no code with the package but its streams (for the noise) and its parameters.
"""

import torch
import torch.nn.functional as F

from megan.data import streams


def convolve(x, w, stride):
    """[images, channels, h, w] with [3, 3, channels, outputs]"""
    return F.conv2d(x, w.permute(3, 2, 0, 1).contiguous(), stride=stride, padding=1)


def normalise(z, gamma, beta):
    return F.relu(F.batch_norm(z, None, None, gamma, beta, training=True, eps=1e-5))


def classify(weights, x):
    for layer in range(4):
        z = convolve(x, weights[f"cls.conv{layer}"], 2)
        x = normalise(z, weights[f"cls.gamma{layer}"], weights[f"cls.beta{layer}"])
    return x.mean(dim=(2, 3)) @ weights["cls.head"] + weights["cls.bias"]


def generate(weights, x, noise):
    def layer(name, x, stride=1):
        z = convolve(x, weights[f"gen.{name}.conv"], stride)
        return normalise(z, weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"])

    encoded = layer("encode1", layer("encode0", x, 2), 2)
    spread = (noise @ weights["gen.noise"]).view(len(x), 7, 7, -1).permute(0, 3, 1, 2)
    h = torch.cat([encoded, spread], dim=1)
    h = layer("decode0", F.interpolate(h, scale_factor=2))
    h = layer("decode1", F.interpolate(h, scale_factor=2))
    return torch.sigmoid(convolve(h, weights["gen.paint"], 1) + weights["gen.bias"])


def first(images):
    """One task of the package's images [images, h, w, 1] -> [images, 1, h, w]"""
    return images.permute(0, 3, 1, 2)


def outer_loss(variant, inner, ways, weights, support, labels, query, query_labels, noise_key):
    """The outer loss of one task as a differentiable function of `weights` (no task axis)."""
    support, query = first(support), first(query)
    weights = dict(weights)
    n_plus_1 = variant.approach == "n_plus_1"
    for step in range(inner.steps):
        fakes_in = n_plus_1 and step >= inner.steps - variant.fake_steps
        losses = []
        if fakes_in:
            sources = torch.cat([support] * variant.fakes_per_real)
            key = streams.bits(noise_key, inner.steps)[step]
            noise = streams.normal(key, len(sources) * variant.noise_size).view(len(sources), -1).to(support.dtype)
            fakes = generate(weights, sources, noise)
            if variant.shared_statistics:
                logits = classify(weights, torch.cat([support, fakes]))
                real, fake = logits[: len(support)], logits[len(support) :]
            else:
                real, fake = classify(weights, support), classify(weights, fakes)
            on_real = F.cross_entropy(real, labels)
            on_fake = F.cross_entropy(fake, torch.full((len(fakes),), ways))
            losses.append(("cls", inner.learning_rate, (variant.real_weight * on_real + on_fake) / (variant.real_weight + 1)))
            probability = 1 - fake.softmax(dim=1)[:, ways]  # of any class but "fake"
            if variant.gan_loss == "vanilla":
                generator = (1 - probability).log().mean()
            else:
                generator = -probability.log().mean()
            losses.append(("gen", variant.generator_inner_lr, generator))
        else:
            losses.append(("cls", inner.learning_rate, F.cross_entropy(classify(weights, support), labels)))
        moved = dict(weights)
        for group, rate, loss in losses:
            names = [name for name in weights if name.startswith(group)]
            gradients = torch.autograd.grad(loss, [weights[name] for name in names], create_graph=True)
            for name, gradient in zip(names, gradients, strict=True):
                moved[name] = weights[name] - rate * gradient
        weights = moved
    return F.cross_entropy(classify(weights, query), query_labels)
