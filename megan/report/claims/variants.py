"""Names of the variants that claims compare, and groups of them."""

MAML, N1 = "maml", "n_plus_1"
EQUAL, WEIGHTED, REAL_FAKE, HYBRID = "n_plus_1_equal", "n_plus_1_weighted", "n_plus_1_real_fake", "n_plus_1_hybrid"
MAML_SHORT, N1_SHORT = "maml_short", "n_plus_1_short"
SHARING = tuple(f"multi_task_{shared}" for shared in range(5))
APART = SHARING[0]  # no shared layers
UNTOLD = "multi_task_0_untold"  # its classifier is not told what is fake, so it has the input of MAML
SLOW, LABEL, UNCLASSIFIED = "multi_task_slow", "multi_task_label", "multi_task_unclassified"
FCN_SKIP = "n_plus_1_fcn_skip"
UNTRAINED = "control_frozen"  # fakes of a generator that never trains
# Generators that differ in one option each, in multi-task without shared layers and in N+1. Left out are
# multi_task_none and multi_task_unclassified: their classifier never sees a fake, so fakes cannot affect it.
GENERATORS = tuple(
    f"multi_task_{what}"
    for what in ("0", "slow", "label", "prototype", "vanilla", "wasserstein", "gradient_penalty", "discrimination")
)
MATCHED = ("label", "prototype", "vanilla", "wasserstein", "gradient_penalty", "discrimination")
MULTI_TASK_MATCHED = (APART, *(f"multi_task_{what}" for what in MATCHED))
N1_MATCHED = (N1_SHORT, *(f"n_plus_1_{what}" for what in MATCHED))
WASSERSTEIN = tuple(
    f"{approach}_{loss}" for approach in ("multi_task", "n_plus_1") for loss in ("wasserstein", "gradient_penalty")
)
OTHER_LOSSES = (APART, "multi_task_vanilla", N1_SHORT, "n_plus_1_vanilla")
STATISTICS_APART = "n_plus_1_apart"  # reals and fakes are batches of their own
WITH_QUERY = "n_plus_1_fakes_with_query"  # real+fake outer loss, its fakes in the batch of the query
