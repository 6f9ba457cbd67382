#!/usr/bin/env bash
# What is to be checked on a machine with a GPU, in this order, each part by itself; it goes on after one that fails.
#   PYTHON=.venv/bin/python bash benchmarks/on_a_gpu.sh OUT
# OUT gets one file a part, and `summary` with the exit code and seconds of each. Data in ../shared/data is used where it is.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:?say a folder for the results}" && cd "$1" && pwd)
python=${PYTHON:-python}
movielens=(-m pep_tf.experiments.main --dataset=movielens --epochs=1 --prune_epochs=2 --budgets=20% --export_format=none)

part() { # NAME COMMAND...
  local name=$1 started=$SECONDS; shift
  "$@" > "$out/$name" 2>&1
  echo "$name: exit code $?, $((SECONDS - started)) s" | tee -a "$out/summary"
}

part device "$python" -c "import tensorflow as tf; found = tf.config.list_physical_devices('GPU'); print(found); assert found"
for features in 2000000 20000000; do
  part "step_$features" "$python" -m benchmarks.step_time --num_features=$features
done
part step_dense "$python" -m benchmarks.step_time --updates=dense
part step_4000 "$python" -m benchmarks.step_time --num_features=4000
part step_tower "$python" -m benchmarks.step_time --floor
part hlo "$python" -m benchmarks.step_time --hlo --steps=10
part parity "$python" -m pytest -q tests/test_reference_parity.py
part kernels "$python" -m pytest -q tests/test_gpu_kernels.py tests/training/test_gpu_cut.py
# Two runs alike, then one that is stopped at its first checkpoint and resumed: the same tables to the last digit.
rm -rf "$out"/run_*
for run in a b; do part "run_$run.log" "$python" "${movielens[@]}" --run_dir="$out/run_$run"; done
part run_c_stopped.log timeout -s INT 60 "$python" "${movielens[@]}" --run_dir="$out/run_c"
part run_c.log "$python" "${movielens[@]}" --run_dir="$out/run_c" --resume
for run in b c; do
  part "same_as_a_$run" diff -r --exclude=done.json "$out/run_a/tickets" "$out/run_$run/tickets"
done
criteo=../shared/data/criteo/train.txt
[ ! -f "$criteo" ] || part criteo "$python" -m pep_tf.experiments.main --dataset=criteo --data_dir="$criteo" \
  --model=deepfm --epochs=1 --prune_epochs=1 --budgets=20% --export_format=none --run_dir="$out/run_criteo"
for precision in float32 tf32 bfloat16; do
  part "auc_$precision" "$python" -m pep_tf.experiments.main --dataset=movielens --model=deepfm --precision=$precision \
    --budgets=20% --export_format=none --run_dir="$out/run_$precision"
done
