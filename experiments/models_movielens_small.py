r"""MovieLens, 100,004 ratings: FM, DeepFM and AutoInt side by side.

Claim (PEP, section 4.2): a few per cent of the embeddings do under any model that reads them.

Commands, for <model> = fm, deepfm and autoint, from the repository's root:
    python -m pep_tf.experiments.main --config=experiments/models_movielens_small.py --model=<model> \
        --run_dir=runs/small-<model>
    python -m pep_tf.experiments.report runs/small-fm runs/small-deepfm runs/small-autoint \
        --output=experiments/results/models_movielens_small

Test AUC, one seed (results/models_movielens_small/):
               uniform, d = 64     20 %     5 %     1 %
    FM              .8360         .8328   .8263   .8233
    DeepFM          .8237         .8287   .8225   .8249
    AutoInt         .8256         .8270   .8289   .8194

7,994 test rows and one seed: differences of a few thousandths may be chance, and DeepFM's and AutoInt's tickets are
not in order. `--seeds=3` repeats the runs over three seeds; that has not been done.
"""

CONFIG = {
    "dataset": "movielens-small",
    "budgets": ("20%", "5%", "1%"),
    "prune_epochs": 15,
    "patience": 3,
}
