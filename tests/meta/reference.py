"""A slow reference of the paper's algorithm: one task at a time, torch's own layers, plain autograd.

It shares no code with the package except its streams (for the noise) and its parameters.
Images here are [images, channels, height, width].
"""

import torch
import torch.nn.functional as F

from megan.ops import streams


def convolve(x, w, stride):
    return F.conv2d(x, w.permute(3, 2, 0, 1).contiguous(), stride=stride, padding=1)


def batch_norm(z, gamma, beta, first=None):
    """By the statistics of the first `first` images, or of all."""
    # Written out: torch's own batch_norm is wrong from the third derivative on.
    mean = z[:first].mean(dim=(0, 2, 3), keepdim=True)
    variance = z[:first].var(dim=(0, 2, 3), keepdim=True, correction=0)
    xhat = (z - mean) / (variance + 1e-5).sqrt()
    return gamma[:, None, None] * xhat + beta[:, None, None]


def batch_norm_relu(z, gamma, beta):
    return F.relu(batch_norm(z, gamma, beta))


def layer_norm(z, gamma, beta, first=None):
    xhat = (z - z.mean(dim=(1, 2, 3), keepdim=True)) / (z.var(dim=(1, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    return gamma[:, None, None] * xhat + beta[:, None, None]


def network(weights, branch, shared, x, planes=None, own_norm=batch_norm, sizes=None, first=None, entry=None):
    """`planes` [images, n] enter at layer `entry`, of which 4 is the head; or at the first that is not shared."""
    entry = shared if entry is None else entry
    for layer in range(4):
        group = "shared" if layer < shared else branch
        if planes is not None and layer == entry:
            x = torch.cat([x, planes[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)
        norm = own_norm if group == branch else batch_norm
        scale = weights[f"{group}.gamma{layer}"], weights[f"{group}.beta{layer}"], first
        if sizes.authors:
            kernel = weights[f"{group}.conv{layer}"].permute(3, 2, 0, 1).contiguous()
            z = F.conv2d(x, kernel, weights[f"{group}.bias{layer}"], stride=2 if layer < 3 else 1)
            slope = 0.2 if layer < 2 else 0.0
            if sizes.relu_first:
                x = norm(torch.where(z > 0, z, slope * z), *scale)
            else:
                z = norm(z, *scale)
                x = torch.where(z > 0, z, slope * z)
            continue
        z = convolve(x, weights[f"{group}.conv{layer}"], 1 if sizes.max_pool else 2)
        x = F.relu(norm(z, *scale))
        x = F.max_pool2d(x, 2) if sizes.max_pool else x
    x = x.permute(0, 2, 3, 1).flatten(1) if sizes.flat else x.mean(dim=(2, 3))
    if planes is not None and entry == 4:
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
        if fake is None:
            return self.told(weights, real, [1.0] * len(real))
        if self.variant.batch_statistics == "apart":
            return self.classify(weights, real), self.fakes_alone(weights, fake)
        flags = [1.0] * len(real) + [0.0] * len(fake)
        return self.told(weights, torch.cat([real, fake]), flags, self.first(real)).split([len(real), len(fake)])

    def told(self, weights, images, flags, first=None):
        """Logits of one batch, with flags of its images that say which are real."""
        multi_task = self.variant.approach == "multi_task"
        shared = self.variant.shared_layers if multi_task else 0
        planes = None
        if multi_task and self.variant.told_real != "never":
            planes = torch.tensor(flags, dtype=images.dtype)[:, None]
        entry = 4 if self.variant.told_real == "head" else shared
        return network(weights, "cls", shared, images, planes, sizes=self.sizes, first=first, entry=entry)

    def first(self, real):
        """How many first images of a batch of these reals and fakes give its statistics."""
        return len(real) if self.variant.batch_statistics == "reals" else None

    def fakes_alone(self, weights, fake):
        return self.told(weights, fake, [0.0] * len(fake))

    def critic(self, weights, images, labels, first=None):
        """How real each image is found: the log-odds of "real"."""
        if self.variant.approach == "n_plus_1":
            fake = network(weights, "cls", 0, images, sizes=self.sizes, first=first).softmax(dim=1)[:, -1]
            return ((1 - fake) / fake).log()
        planes = F.one_hot(labels, self.ways).to(images.dtype) if self.variant.condition_discriminator else None
        each = self.variant.gan_loss == "wasserstein_gp" and self.variant.penalty_norm == "image"
        norm = layer_norm if each else batch_norm
        return network(weights, "dsc", self.variant.shared_layers, images, planes, norm, self.sizes, first)[:, 0]

    def critic_of_both(self, weights, real, real_labels, fake):
        if self.variant.batch_statistics == "apart":
            return self.critic(weights, real, real_labels), self.critic(weights, fake, self.fake_labels)
        labels = torch.cat([real_labels, self.fake_labels])
        return self.critic(weights, torch.cat([real, fake]), labels, self.first(real)).split([len(real), len(fake)])

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
        if self.variant.penalty_norm == "batch":
            return self.variant.gradient_penalty * (slope.flatten().norm() - 1) ** 2
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

    def adapted(self, weights, steps=None):
        """After so many inner steps, or as many as in training."""
        variant, rate = self.variant, self.inner.learning_rate
        weights = self.project(dict(weights))
        without = self.inner.steps - variant.fake_steps if variant.fake_steps else 10**9  # so many first steps
        for step in range(self.inner.steps if steps is None else steps):
            losses, right = [], 0.0
            if variant.approach == "maml" or step < without:
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
                        right = variant.generator_class_weight * on_fake
                        theta = (balance * F.cross_entropy(real_logits, self.labels) + on_fake) / (balance + 1)
                    else:
                        theta = F.cross_entropy(self.classify(weights, self.support), self.labels)
                    on_reals, on_fakes = self.critic_of_both(weights, self.support, self.labels, fake)
                    losses.append(({"cls": rate, "shared": rate}, theta))
                    discrimination = self.discriminator_loss(on_reals, on_fakes) + self.penalty(weights, fake, step)
                    own = variant.discriminator_inner_lr or rate
                    losses.append(({"dsc": own, "shared": variant.discrimination_weight * rate}, discrimination))
                if variant.fake_source == "generator":
                    losses.append(({"gen": variant.generator_inner_lr}, self.generator_loss(on_fakes) + right))
            moved = dict(weights)
            for rates, loss in losses:
                names = [name for name in weights if name.partition(".")[0] in rates]
                gradients = torch.autograd.grad(loss, [weights[name] for name in names], create_graph=True)
                for name, gradient in zip(names, gradients, strict=True):
                    gradient = gradient.detach() if self.inner.first_order else gradient
                    moved[name] = moved[name] - rates[name.partition(".")[0]] * gradient
            weights = self.project(moved)
        return weights

    def answer(self, adapted, step):
        """Logits of the query as training and test predict it, and of outer fakes if they are in its batch."""
        variant = self.variant
        fooling, told = variant.generator_outer_loss == "fooling", variant.outer_discrimination_weight
        met = variant.outer_fake_weight or (variant.approach == "n_plus_1" and (fooling or told))
        if variant.approach == "maml" or variant.outer_fake_batch == "own" or not met:
            return self.classify(adapted, self.query), None
        return self.classify(adapted, self.query, self.fakes(adapted, step))

    def outer_losses(self, weights):
        """[(groups, loss)]: the loss that gives each group's outer gradient."""
        variant, theta, step = self.variant, ("cls", "shared", "dsc"), self.inner.steps
        adapted = self.adapted(weights)
        logits, on_fake = self.answer(adapted, step)
        loss = query = F.cross_entropy(logits, self.query_labels)
        losses = []
        fooling = variant.generator_outer_loss == "fooling"
        if variant.approach != "maml" and (fooling or variant.outer_fake_weight or variant.outer_discrimination_weight):
            fake = self.fakes(adapted, step)

            def values(critic):
                if variant.outer_fake_batch == "with_query":
                    return self.critic_of_both(critic, self.query, self.query_labels, fake)
                return self.critic(critic, self.query, self.query_labels), self.critic(critic, fake, self.fake_labels)

            if variant.outer_fake_weight:
                n_plus_1 = variant.approach == "n_plus_1"
                wanted = torch.full((len(fake),), self.ways) if n_plus_1 else self.fake_labels
                on_fake = self.fakes_alone(adapted, fake) if on_fake is None else on_fake
                loss = loss + variant.outer_fake_weight * F.cross_entropy(on_fake, wanted)
            if variant.outer_discrimination_weight:
                on_reals, on_fakes = values(adapted)
                weight = variant.outer_discrimination_weight
                losses.append((theta, weight * self.discriminator_loss(on_reals, on_fakes)))
                losses.append((("gen",), weight * self.generator_loss(on_fakes)))
            if fooling:
                held = {
                    name: value if name.startswith("gen") or variant.fooling_through == "both" else value.detach()
                    for name, value in adapted.items()
                }
                losses.append((("gen",), self.generator_loss(values(held)[1])))
        return query, [*losses, (theta if fooling else (*theta, "gen"), loss)]
