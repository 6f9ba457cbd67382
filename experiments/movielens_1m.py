"""MovieLens-1M with a factorization machine: the paper's first experiment.

Claim (PEP, section 4.2): a few per cent of the embedding parameters keep the AUC of the full table.

Expected test AUC, measured in a run of 29 minutes on 2 cores with other work to do (results/movielens_1m/):
uniform d = 64 .8523; tickets of 20 % .8523, 10 % .8502, 5 % .8469, 3 % .8435, 1 % .8364.

Command:
    python -m pep_tf.experiments.main --config=experiments/movielens_1m.py --data_dir=<ml-1m folder>
"""

CONFIG = {
    "dataset": "movielens-1m",
    "budgets": ("20%", "10%", "5%", "3%", "1%"),
}
