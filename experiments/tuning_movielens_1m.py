r"""MovieLens-1M: searched thresholds against the paper's defaults at 10, 5, 3 and 1 %, FM and DeepFM.

Claim: the thresholds' settings matter most at small budgets; a search finds ones that beat the paper's defaults there.
It did not: see below.

Commands, for <model> = fm with 16 trials and deepfm with 9, from the repository's root:
    python -m pep_tf.tuning.search --config=experiments/tuning_movielens_1m.py --data_dir=<ml-1m folder> \
        --model=<model> --algorithm=bayesian --tune=threshold_init,threshold_learning_rate,threshold_l2,l2 \
        --max_trials=<trials> --no_retrain --run_dir=runs/tuning-1m-<model>
    python -m experiments.tuning_report compare --search=runs/tuning-1m-<model> --seeds=0 --data_dir=<ml-1m folder> \
        --out=experiments/results/tuning_movielens_1m/<model>.json

The second retrains the tickets of the default and of the best other trial at each budget. Selection is by validation;
the test split is read once for each ticket. Seed 0 is that of the search: one split, one start.

Found (results/tuning_movielens_1m/: pages and records of both searches, and what was retrained). Score, the area under
validation AUC as cut: FM .8295 (s0 -15.7, rate 9.3e-4, decay of s 1.9e-5, L2 8.4e-6) against .8286 of the defaults;
DeepFM .8291 with the same values, which is below the .8390 of the defaults. Retrained, AUC of defaults / searched:

    | budget | FM validation | FM test | DeepFM validation | DeepFM test |
    |---|---|---|---|---|
    | uniform | .8507 / .8507 | .8523 / .8522 | .8497 / .8497 | .8509 / .8507 |
    | 10 % | .8496 / .8488 | .8504 / .8501 | .8463 / .8470 | .8472 / .8475 |
    | 5 % | .8460 / .8452 | .8470 / .8464 | .8471 / .8461 | .8479 / .8473 |
    | 3 % | .8422 / .8422 | .8435 / .8434 | .8477 / .8439 | .8478 / .8457 |
    | 1 % | .8345 / .8341 | .8363 / .8367 | .8426 / .8416 | .8427 / .8410 |

Searched minus defaults, mean over the budgets: FM validation -.0005, test -.0001; DeepFM -.0012, -.0010. One seed, so
without a spread. The paper's values are hard to beat on its own data set, and these few trials do not. Searches over
all hyperparameters (without `--tune`, 10 trials and 8) ended with the defaults as their best as well, .8286 and .8390;
the next were .8250 and .8046.
"""

CONFIG = {
    "dataset": "movielens-1m",
    "budgets": ("10%", "5%", "3%", "1%"),
    "prune_epochs": 40,  # at the defaults the last budget is reached in the 36th
}
