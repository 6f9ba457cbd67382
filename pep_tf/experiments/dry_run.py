"""What a run would take, from a few steps on the real data."""

import time

from pep_tf import training
from pep_tf.data import CTRData
from pep_tf.experiments.config import PRECISIONS, Config
from pep_tf.experiments.placement import table_device
from pep_tf.models import build_model
from pep_tf.training.budgets import resolve_budgets
from pep_tf.training.loop import Loop

_STEPS = 30


def describe(config: Config, data: CTRData) -> str:
    """Steps, memory and time of a run, as text; trains a few steps to measure, writes nothing."""
    settings = config.settings()
    model = build_model(
        config.model,
        data.schema.size_by_name,
        embedding_dim=config.embedding_dim,
        granularity=config.granularity,
        prune_linear=config.prune_linear,
        table_device=table_device(config, data.schema.num_features),
        dtype=PRECISIONS[config.precision],
        **config.model_options(),
    )
    loop = Loop("dry run", model, settings.optimizer(model), data.train, settings)
    loop.run(_STEPS)  # compiles
    started = time.perf_counter()
    steps = loop.step
    loop.run(_STEPS)
    pace = (time.perf_counter() - started) / max(1, loop.step - steps)
    entries = config.entries(data.schema.num_features)
    budgets = resolve_budgets(config.budgets, entries)
    trained = 0 if config.no_retrain else len(budgets)
    fits = 1 + len(config.baseline_dims) + trained
    most = (settings.prune_epochs + settings.epochs * fits) * loop.batches_per_epoch * config.seeds
    held = sum(v._value.numpy().nbytes for v in [*model.variables, *loop.optimizer.variables])
    evaluation = training.Evaluator(model)
    started = time.perf_counter()
    evaluation(data.validation)
    check = time.perf_counter() - started
    lines = [
        f"data set       {data.name}: {data.train.num_rows:,} training rows, "
        f"{data.schema.num_fields} fields, N = {data.schema.num_features:,}",
        f"table          {entries:,} entries; budgets {', '.join(f'{b:,}' for b in budgets)}",
        f"steps          {loop.batches_per_epoch:,} an epoch, at most {most:,} in all "
        "(early stopping usually ends far sooner)",
        f"memory         {held / 1e6:,.0f} MB of weights and optimizer state",
        f"time           {pace * 1e3:.1f} ms a step, {check:.1f} s a validation: at most "
        f"{(most * pace + most / loop.batches_per_epoch * check) / 60:,.0f} minutes",
    ]
    return "\n".join(lines)
