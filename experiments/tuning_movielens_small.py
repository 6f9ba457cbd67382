r"""MovieLens, 100,004 ratings: are searched thresholds better than the defaults, and does the score foretell it?

Claim: later papers say that PEP "highly depends on the hyper-parameters of the threshold". A Bayesian search of 12
trials scores each by its tickets as they are cut, without retraining. That is worth something only if the score ranks
configurations as retraining does, and if its best is not below the default on seeds that it has not seen.

Commands, from the repository's root:
    python -m pep_tf.tuning.search --config=experiments/tuning_movielens_small.py --algorithm=bayesian \
        --max_trials=12 --nostop_hopeless --run_dir=runs/tuning-small
    python -m experiments.tuning_report rank --search=runs/tuning-small --trials=8
    python -m experiments.tuning_report compare --search=runs/tuning-small --seeds=1,2,3

The first prints the trials; the second Spearman's rank correlation of score and retrained AUC over 8 trials; the third
the paired differences, best minus default, of validation and test AUC at each budget.

Found (results/tuning_movielens_small/): the 12 trials took 98 s on 2 cores (`--no_retrain`). The best, trial 3, scored
.8464 against .8410 of the default: one threshold for all, d = 16, an L2 of 8.5e-5. On the fresh seeds 1, 2 and 3,
retrained, best minus default, mean over the budgets and standard deviation over the seeds:
    validation AUC +.0012 ± .0002, by seed +.0014, +.0013, +.0009
    test AUC       +.0014 ± .0019, by seed -.0000, +.0036, +.0005
    test AUC at 20, 10, 5 and 1 %: -.0030, +.0018, +.0037, +.0029; uniform tables (d = 16, d = 64) -.0016
It is better at small budgets and worse at the largest. Score and retrained score of 8 trials, from .773 and .836 to
.846 and .852: rank correlation .95 (p = .0003).
"""

CONFIG = {
    "dataset": "movielens-small",
    "budgets": ("20%", "10%", "5%", "1%"),
}
