r"""MovieLens, 100,004 ratings: are searched thresholds better than the defaults, and does the score foretell it?

Claim: later papers say that PEP "highly depends on the hyper-parameters of the threshold". A Bayesian search of 12
trials scores each by its tickets as they are cut, without retraining. That is worth something only if the score ranks
configurations as retraining does, and if its best is not below the default on seeds that it has not seen.

Commands, from the repository's root:
    python -m pep_tf.tuning.search --config=experiments/tuning_movielens_small.py --algorithm=bayesian \
        --max_trials=12 --nostop_hopeless --no_retrain --run_dir=runs/tuning-small
    python -m experiments.tuning_report rank --search=runs/tuning-small --trials=8
    python -m experiments.tuning_report compare --search=runs/tuning-small --seeds=1,2,3

The first prints the trials; the second Spearman's rank correlation of score and retrained AUC over 8 trials; the third
the paired differences, best minus default, of validation and test AUC at each budget.
"""

CONFIG = {
    "dataset": "movielens-small",
    "budgets": ("20%", "10%", "5%", "1%"),
}
