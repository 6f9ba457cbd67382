r"""MovieLens-1M: searched thresholds against the paper's defaults at 10, 5, 3 and 1 %, FM and DeepFM.

Claim: the thresholds' settings matter most at small budgets; a search finds ones that beat the paper's defaults there.

Commands, for <model> = fm and deepfm, from the repository's root:
    python -m pep_tf.tuning.search --config=experiments/tuning_movielens_1m.py --data_dir=<ml-1m folder> \
        --model=<model> --algorithm=bayesian --max_trials=10 --no_retrain --run_dir=runs/tuning-1m-<model>
    python -m experiments.tuning_report compare --search=runs/tuning-1m-<model> --seeds=0 --data_dir=<ml-1m folder> \
        --out=experiments/results/tuning_movielens_1m/<model>.json

The second retrains the default's tickets and the best's at each budget, and writes the table. Selection is by
validation; the test split is read once for each ticket.

Neither search has been run yet: there is no table.
"""

CONFIG = {
    "dataset": "movielens-1m",
    "budgets": ("10%", "5%", "3%", "1%"),
    "prune_epochs": 40,  # at the defaults the last budget is reached in the 36th
}
