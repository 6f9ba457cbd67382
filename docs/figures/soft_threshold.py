"""The soft threshold of the page on the method: E against V."""

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from pep_tf.layers import soft_threshold

table = np.linspace(-1, 1, 401, dtype="float32")
figure, axes = plt.subplots(figsize=(6, 3))
for s in (-15.0, -1.5, -0.5):
    entries = soft_threshold(table, tf.constant(s), tf.sigmoid)
    axes.plot(table, entries, label=f"s = {s:g}, g(s) = {tf.sigmoid(s):.2f}")
axes.set(xlabel="entry of V", ylabel="entry of E")
axes.legend(frameon=False)
axes.grid(alpha=0.3)
figure.tight_layout()
