"""What a run would take, from a few steps on the real data."""

import time

from pep_tf import training
from pep_tf.data import CTRData
from pep_tf.errors import NumberError
from pep_tf.experiments.config import PRECISIONS, Config
from pep_tf.experiments.memory import in_words, memory_here
from pep_tf.experiments.placement import table_device
from pep_tf.experiments.scaling_estimate import job_of, told
from pep_tf.models import build_model
from pep_tf.training.forecast import described
from pep_tf.training.loop import Loop
from pep_tf.training.memory_pool import machine_memory
from pep_tf.training.methods import PEP

GIGABITS = 10.0
_STEPS = 30


def describe(config: Config, data: CTRData, gigabits: float = GIGABITS) -> str:
    """Steps, memory and time of a run, as text; writes nothing.

    Trains a few steps to measure the time, unless the machine cannot hold what the run takes.

    Args:
        config: of the run.
        data: what it would train on.
        gigabits: a second, of the network between workers.
    """
    entries = config.entries(data.schema.num_features)
    try:
        budgets = [
            f"{budget:,}" if isinstance(budget, int) else described(budget)
            for budget in config.resolved_budgets(data.schema)
        ]
    except NumberError as error:  # of a table so large, the memory is what a person asks for
        budgets = [str(error)]
    epoch = -(-data.train.num_rows // config.batch_size)
    fits = 1 + len(config.baseline_dims) + (0 if config.no_retrain else len(budgets))
    once = dict.fromkeys(("magnitude", "prefix", "darts"), 1)
    trainings = {**once, "magnitude_rounds": len(budgets)}.get(config.method, 0)
    choosing = config.prune_epochs if config.method == PEP else trainings * config.epochs
    most = (choosing + config.epochs * fits) * epoch * config.seeds
    memory, has = memory_here(config, data.schema, data.train.num_rows), machine_memory()
    if memory.total > has:
        pace, spent = None, "not measured: the machine cannot hold it"
    else:
        pace, check = _measured(config, data)
        minutes = (most * pace + most / epoch * check) / 60
        spent = f"{pace * 1e3:.1f} ms per step, {check:.1f} s per validation: at most {minutes:,.0f} minutes"
    lines = [
        f"data set       {data.name}: {data.train.num_rows:,} training rows, "
        f"{data.schema.num_fields} fields, N = {data.schema.num_features:,}",
        f"table          {entries:,} entries; budgets {', '.join(budgets)}",
        f"steps          {epoch:,} an epoch, at most {most:,} in all "
        "(early stopping usually ends far sooner)",
        f"memory         {memory}; this machine has {in_words(has)}",
        f"time           {spent}",
        *told(job_of(config, data, pace), gigabits, has),
    ]
    return "\n".join(lines)


def _measured(config: Config, data: CTRData) -> tuple[float, float]:
    """Seconds of a step of pruning, and of a validation."""
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
    evaluation = training.Evaluator(model)
    started = time.perf_counter()
    evaluation(data.validation)
    return pace, time.perf_counter() - started
