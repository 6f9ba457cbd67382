r"""MovieLens, 100,004 ratings: FM, DeepFM and AutoInt side by side.

Claim (PEP, section 4.2): what a few per cent of the embeddings can do does not depend on what reads them.

Commands, for <model> = fm, deepfm and autoint, from the repository's root:
    python -m pep_tf.experiments.main --config=experiments/models_movielens_small.py --model=<model> --seeds=3 \
        --run_dir=runs/small-<model>
    python -m pep_tf.experiments.report runs/small-fm runs/small-deepfm runs/small-autoint \
        --output=experiments/results/models_movielens_small

RESULT
"""

CONFIG = {
    "dataset": "movielens-small",
    "budgets": ("20%", "5%", "1%"),
    "prune_epochs": 15,  # AutoInt takes 60 ms a step on one core, 20 times as long as FM
    "patience": 3,
}
