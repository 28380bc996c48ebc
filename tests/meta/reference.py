"""A slow reference of the paper's algorithm: one task at a time, torch's own layers, plain autograd.

It shares no code with the package except its streams (for the noise) and its parameters.
Images here are [images, channels, height, width].
"""

import torch
import torch.nn.functional as F

from megan.ops import streams


def convolve(x, w, stride):
    return F.conv2d(x, w.permute(3, 2, 0, 1).contiguous(), stride=stride, padding=1)


def batch_norm_relu(z, gamma, beta):
    # Written out: torch's own batch_norm is wrong from the third derivative on.
    mean, variance = z.mean(dim=(0, 2, 3), keepdim=True), z.var(dim=(0, 2, 3), keepdim=True, correction=0)
    xhat = (z - mean) / (variance + 1e-5).sqrt()
    return F.relu(gamma[:, None, None] * xhat + beta[:, None, None])


def layer_norm_relu(z, gamma, beta):
    xhat = (z - z.mean(dim=(1, 2, 3), keepdim=True)) / (z.var(dim=(1, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    return F.relu(gamma[:, None, None] * xhat + beta[:, None, None])


def network(weights, branch, shared, x, planes=None, own_norm=batch_norm_relu, sizes=None):
    """`planes` [images, n] enter at the first layer that is not shared."""
    for layer in range(4):
        group = "shared" if layer < shared else branch
        if planes is not None and layer == shared:
            x = torch.cat([x, planes[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)
        norm = own_norm if group == branch else batch_norm_relu
        z = convolve(x, weights[f"{group}.conv{layer}"], 1 if sizes.max_pool else 2)
        x = norm(z, weights[f"{group}.gamma{layer}"], weights[f"{group}.beta{layer}"])
        x = F.max_pool2d(x, 2) if sizes.max_pool else x
    x = x.permute(0, 2, 3, 1).flatten(1) if sizes.flat else x.mean(dim=(2, 3))
    if planes is not None and shared == 4:
        x = torch.cat([x, planes], dim=1)
    return x @ weights[f"{branch}.head"] + weights[f"{branch}.bias"]


def authors_last_map(weights, code, x, side):
    """The authors' generator up to its last convolution, with transposed convolutions as their code has them."""

    def norm(name, x):
        mean, variance = x.mean(dim=(0, 2, 3), keepdim=True), x.var(dim=(0, 2, 3), keepdim=True, correction=0)
        xhat = (x - mean) / (variance + 1e-5).sqrt()
        return weights[f"gen.{name}.gamma"][:, None, None] * xhat + weights[f"gen.{name}.beta"][:, None, None]

    def transposed(name, x):
        mirrored = weights[f"gen.{name}.conv"].permute(2, 3, 0, 1).flip(2, 3).contiguous()
        return F.conv_transpose2d(x, mirrored, weights[f"gen.{name}.bias"], stride=1, padding=1)

    h = F.linear(code, weights["gen.code"].T, weights["gen.code_bias"])
    h = h.view(len(code), side, side, -1).permute(0, 3, 1, 2)
    if x is not None:
        h = torch.cat([norm("image", F.leaky_relu(transposed("image", x), 0.2)), h], dim=1)
    assert h.shape[1] == 128
    h = F.relu(norm("join", F.relu(transposed("join", h))))
    z = convolve(h, weights["gen.refine.conv"], 1) + weights["gen.refine.bias"][:, None, None]
    return norm("refine", F.relu(z))


def generate(variant, weights, x, noise, one_hot, prototypes):
    def layer(name, x, stride=1):
        z = convolve(x, weights[f"gen.{name}.conv"], stride)
        return batch_norm_relu(z, weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"])

    code = noise
    if variant.conditioning == "label":
        code = torch.cat([code, one_hot], dim=1)
    if variant.conditioning == "prototype":
        code = torch.cat([code, prototypes @ weights["gen.prototype"]], dim=1)
    if variant.generator == "authors":
        h = authors_last_map(weights, code, x if variant.conditioning == "image" else None, x.shape[2])
        painted = convolve(h, weights["gen.paint"], 1) + weights["gen.bias"][:, None, None]
        return x + torch.tanh(painted) if variant.skip else torch.sigmoid(painted)
    side = x.shape[2] // 4 if variant.generator == "standard" else x.shape[2]
    h = (code @ weights["gen.code"]).view(len(noise), side, side, -1).permute(0, 3, 1, 2)
    if variant.generator == "standard":
        if variant.conditioning == "image":
            h = torch.cat([layer("encode1", layer("encode0", x, 2), 2), h], dim=1)
        h = layer("decode1", F.interpolate(layer("decode0", h), scale_factor=2))
        h = layer("decode2", F.interpolate(h, scale_factor=2))
    else:
        h = torch.cat([x, h], dim=1) if variant.conditioning == "image" else h
        h = layer("full1", layer("full0", h))
    painted = convolve(h, weights["gen.paint"], 1) + weights["gen.bias"][:, None, None]
    return x + torch.tanh(painted) if variant.skip else torch.sigmoid(painted)


class Task:
    """One task of a variant, and every loss on it as a function of weights without a task axis."""

    def __init__(self, system, episodes, task):
        variant = system.variant
        self.variant, self.inner, self.ways, self.sizes = system.variant, system.inner, system.ways, system.sizes
        self.support, self.query = (images[task].permute(0, 3, 1, 2) for images in (episodes.support, episodes.query))
        self.labels, self.query_labels = episodes.support_labels, episodes.query_labels
        self.fake_labels = torch.cat([self.labels] * variant.fakes_per_real)
        self.sources = torch.cat([self.support] * variant.fakes_per_real)
        self.key = episodes.key[task]
        self.prototypes = None if episodes.prototypes is None else episodes.prototypes[task][self.fake_labels]

    def stream(self, step, key):
        return streams.bits(key, step + 1)[step]

    def fakes(self, weights, step):
        noise = streams.normal(self.stream(step, self.key), len(self.sources) * self.variant.noise_size)
        noise = noise.view(len(self.sources), -1).to(self.support.dtype)
        one_hot = F.one_hot(self.fake_labels, self.ways).to(self.support.dtype)
        made = generate(self.variant, weights, self.sources, noise, one_hot, self.prototypes)
        return made.detach() if self.variant.fake_source == "frozen_generator" else made

    def classify(self, weights, real, fake=None):
        """Logits of reals, or of reals and fakes, told apart in multi-task."""
        told = self.variant.approach == "multi_task" and self.variant.told_real
        shared = self.variant.shared_layers if self.variant.approach == "multi_task" else 0

        def run(images, flags):
            planes = torch.tensor(flags, dtype=images.dtype)[:, None] if told else None
            return network(weights, "cls", shared, images, planes, sizes=self.sizes)

        if fake is None:
            return run(real, [1.0] * len(real))
        if self.variant.shared_statistics:
            return run(torch.cat([real, fake]), [1.0] * len(real) + [0.0] * len(fake)).split([len(real), len(fake)])
        return run(real, [1.0] * len(real)), run(fake, [0.0] * len(fake))

    def fakes_alone(self, weights, fake):
        told = self.variant.approach == "multi_task" and self.variant.told_real
        shared = self.variant.shared_layers if self.variant.approach == "multi_task" else 0
        return network(
            weights,
            "cls",
            shared,
            fake,
            torch.zeros(len(fake), 1, dtype=fake.dtype) if told else None,
            sizes=self.sizes,
        )

    def critic(self, weights, images, labels):
        """How real each image is found: the log-odds of "real"."""
        if self.variant.approach == "n_plus_1":
            fake = self.classify(weights, images).softmax(dim=1)[:, -1]
            return ((1 - fake) / fake).log()
        planes = F.one_hot(labels, self.ways).to(images.dtype) if self.variant.condition_discriminator else None
        norm = layer_norm_relu if self.variant.gan_loss == "wasserstein_gp" else batch_norm_relu
        return network(weights, "dsc", self.variant.shared_layers, images, planes, norm, self.sizes)[:, 0]

    def critic_of_both(self, weights, fake):
        if self.variant.shared_statistics:
            labels = torch.cat([self.labels, self.fake_labels])
            return self.critic(weights, torch.cat([self.support, fake]), labels).split([len(self.support), len(fake)])
        return self.critic(weights, self.support, self.labels), self.critic(weights, fake, self.fake_labels)

    def generator_loss(self, on_fakes):
        probability = torch.sigmoid(on_fakes)
        return {
            "vanilla": lambda: (1 - probability).log().mean(),
            "non_saturating": lambda: -probability.log().mean(),
            "wasserstein": lambda: -on_fakes.mean(),
            "wasserstein_gp": lambda: -on_fakes.mean(),
        }[self.variant.gan_loss]()

    def discriminator_loss(self, on_reals, on_fakes):
        if self.variant.gan_loss.startswith("wasserstein"):
            return on_fakes.mean() - on_reals.mean()
        return -torch.sigmoid(on_reals).log().mean() - (1 - torch.sigmoid(on_fakes)).log().mean()

    def penalty(self, weights, fake, step):
        if self.variant.gan_loss != "wasserstein_gp":
            return 0.0
        share = streams.uniform(self.stream(step, self.key ^ 1), len(fake)).to(fake.dtype)[:, None, None, None]
        between = share * self.sources + (1 - share) * fake
        if not between.requires_grad:
            between.requires_grad_()
        slope = torch.autograd.grad(self.critic(weights, between, self.fake_labels).sum(), between, create_graph=True)[
            0
        ]
        norm = (slope.square().sum(dim=(1, 2, 3)) + 1e-12).sqrt()
        return self.variant.gradient_penalty * (norm - 1).square().mean()

    def project(self, weights):
        if self.variant.gan_loss != "wasserstein" or self.variant.approach == "maml":
            return weights
        clipped = dict(weights)
        for name, value in weights.items():
            n_plus_1_head = self.variant.approach == "n_plus_1" and name == "cls.head"
            if n_plus_1_head or name.startswith(("dsc.conv", "dsc.head")):
                clipped[name] = value + (value.clamp(-self.variant.clip, self.variant.clip) - value).detach()
        return clipped

    def adapted(self, weights):
        variant, rate, steps = self.variant, self.inner.learning_rate, self.inner.steps
        weights = self.project(dict(weights))
        for step in range(steps):
            losses = []
            if variant.approach == "maml" or step < steps - variant.fake_steps:
                loss = F.cross_entropy(self.classify(weights, self.support), self.labels)
                losses.append(({"cls": rate, "shared": rate}, loss))
            else:
                fake = self.fakes(weights, step)
                balance = variant.real_weight
                if variant.approach == "n_plus_1":
                    real_logits, fake_logits = self.classify(weights, self.support, fake)
                    on_fake = F.cross_entropy(fake_logits, torch.full((len(fake),), self.ways))
                    theta = (balance * F.cross_entropy(real_logits, self.labels) + on_fake) / (balance + 1)
                    losses.append(({"cls": rate}, theta + self.penalty(weights, fake, step)))
                    probability = fake_logits.softmax(dim=1)[:, -1]
                    on_fakes = ((1 - probability) / probability).log()
                else:
                    if variant.classify_fakes:
                        real_logits, fake_logits = self.classify(weights, self.support, fake)
                        on_fake = F.cross_entropy(fake_logits, self.fake_labels)
                        theta = (balance * F.cross_entropy(real_logits, self.labels) + on_fake) / (balance + 1)
                    else:
                        theta = F.cross_entropy(self.classify(weights, self.support), self.labels)
                    on_reals, on_fakes = self.critic_of_both(weights, fake)
                    losses.append(({"cls": rate, "shared": rate}, theta))
                    discrimination = self.discriminator_loss(on_reals, on_fakes) + self.penalty(weights, fake, step)
                    losses.append(({"dsc": rate, "shared": variant.discrimination_weight * rate}, discrimination))
                if variant.fake_source == "generator":
                    losses.append(({"gen": variant.generator_inner_lr}, self.generator_loss(on_fakes)))
            moved = dict(weights)
            for rates, loss in losses:
                names = [name for name in weights if name.partition(".")[0] in rates]
                gradients = torch.autograd.grad(loss, [weights[name] for name in names], create_graph=True)
                for name, gradient in zip(names, gradients, strict=True):
                    moved[name] = moved[name] - rates[name.partition(".")[0]] * gradient
            weights = self.project(moved)
        return weights

    def outer_losses(self, weights):
        """[(groups, loss)]: the loss that gives each group's outer gradient."""
        variant, theta = self.variant, ("cls", "shared", "dsc")
        adapted = self.adapted(weights)
        loss = query = F.cross_entropy(self.classify(adapted, self.query), self.query_labels)
        losses = []
        fooling = variant.generator_outer_loss == "fooling"
        if variant.approach != "maml" and (fooling or variant.outer_fake_weight or variant.outer_discrimination_weight):
            fake = self.fakes(adapted, self.inner.steps)
            if variant.outer_fake_weight:
                n_plus_1 = variant.approach == "n_plus_1"
                wanted = torch.full((len(fake),), self.ways) if n_plus_1 else self.fake_labels
                loss = loss + variant.outer_fake_weight * F.cross_entropy(self.fakes_alone(adapted, fake), wanted)
            if variant.outer_discrimination_weight:
                on_reals = self.critic(adapted, self.query, self.query_labels)
                on_fakes = self.critic(adapted, fake, self.fake_labels)
                weight = variant.outer_discrimination_weight
                losses.append((theta, weight * self.discriminator_loss(on_reals, on_fakes)))
                losses.append((("gen",), weight * self.generator_loss(on_fakes)))
            if fooling:
                held = {
                    name: value if name.startswith("gen") or variant.fooling_through == "both" else value.detach()
                    for name, value in adapted.items()
                }
                losses.append((("gen",), self.generator_loss(self.critic(held, fake, self.fake_labels))))
        return query, [*losses, (theta if fooling else (*theta, "gen"), loss)]
