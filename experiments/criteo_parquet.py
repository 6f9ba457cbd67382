r"""A click log of Criteo's columns as a Parquet file of one's own: numbers beside the embeddings, in a DeepFM.

Shows the way from the file to served models, not an AUC: one epoch of a sample of 18,787 rows. Measured with the
commands below:
    uniform, d = 8  2,081,704 entries  test AUC .6894
    ticket 20%        416,340          .6856
    ticket 5%         104,085          .6790
Each export answers the 1,879 raw test rows as it does their ids, and these as the trained model does, to the last bit.

Commands (a minute and a half of one core), where train.txt is in Kaggle's format:
    python -c "import pandas as pd; I, C = range(1, 14), range(1, 27); \
        names = ['label', *(f'I{i}' for i in I), *(f'C{i}' for i in C)]; \
        pd.read_csv('train.txt', sep='\t', names=names, dtype=str).to_parquet('experiments/criteo_sample.parquet')"
    python -m pep_tf.experiments.main --dataset=experiments/criteo_parquet.py --model=deepfm --mlp_widths=32 \
        --embedding_dim=8 --epochs=1 --prune_epochs=1 --budgets=20%,5%
"""

DATA = {
    "files": "criteo_sample.parquet",
    "label": "label",
    "features": {
        **{f"I{i}": "float" for i in range(1, 7)},
        **{f"I{i}": "integer" for i in range(7, 10)},
        **{f"I{i}": "bins:32" for i in range(10, 14)},
        **{f"C{i}": "hash:10000" for i in range(1, 27)},
    },
}
