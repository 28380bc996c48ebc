"""What is measured against what: one file for each contender, a class with the same three methods.

    Contender(problem)   set up for the tasks of a problem (see `problem`)
    gradient()           one meta-gradient: the sum over its tasks / the meta-batch
    result()             the last one by weight name, in the layouts of `problem`

Only `ours` imports megan: a peer's memory and import time are its own.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contender:
    label: str  # what tables call it
    modules: dict[str, str]  # variant of params.yaml -> module of this package
    distribution: str  # the installed package whose version the table gives
    ours: bool = False
    environment: dict[str, str] = field(default_factory=dict)


LOOPS = {"maml": "loop", "n_plus_1": "loop_n_plus_1", "multi_task_0": "loop_multi_task"}
OURS = dict.fromkeys(LOOPS, "ours")
CONTENDERS = {
    "megan": Contender("megan", OURS, "megan", ours=True),
    "megan-torch": Contender(
        "megan, no compiler",
        OURS,
        "megan",
        ours=True,
        environment={"MEGAN_KERNEL": "torch"},
    ),
    "loop": Contender("autograd loop", LOOPS, "torch"),
    "learn2learn": Contender("learn2learn", {"maml": "learn2learn_maml"}, "learn2learn"),
    "higher": Contender("higher", {"maml": "higher_maml"}, "higher"),
    "torchopt": Contender("TorchOpt", {"maml": "torchopt_maml"}, "torchopt"),
    "vmap": Contender("torch.func vmap", {"maml": "vmap"}, "torch"),
    "vmap-chunks": Contender("torch.func vmap, 8 at a time", {"maml": "vmap_chunks"}, "torch"),
}
