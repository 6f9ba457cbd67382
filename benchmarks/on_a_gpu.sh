#!/usr/bin/env bash
# What is to be checked on a machine with a GPU, the most important first, each part by itself; it goes on after one that fails.
#   PYTHON=.venv/bin/python bash benchmarks/on_a_gpu.sh OUT [PART...]
# OUT gets one file a part, and `summary` with the exit code and seconds of each. All parts are to take 15 minutes: after
# LIMIT seconds, 880 unless said otherwise, a part is stopped and the rest is left out. SMALL=1 tries each command on a CPU.
# Data in ../shared/data is used where it is.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:?say a folder for the results}" && cd "$1" && pwd)
only=" ${*:2} " python=${PYTHON:-python} small=${SMALL:-} end=$((SECONDS + ${LIMIT:-880}))
data=../shared/data main=(-m pep_tf.experiments.main --export_format=none --notensorboard)
rows=2000000 many=20000000 steps=() movielens=(--dataset=movielens) criteo=(--dataset=criteo "--data_dir=$data/criteo/train.txt")
longer=(--epochs=5 --prune_epochs=5)
short=(--epochs=1 --prune_epochs=2 --budgets=20% --checkpoint_every=100)
if [ -d "$data/ml-1m" ]; then movielens+=("--data_dir=$data/ml-1m"); fi
if [ "$small" ]; then
  rows=20000 many=40000 steps=(--steps=2 --warmup=1 --batch_size=64)
  movielens=(--dataset=movielens-small --embedding_dim=4) criteo=(--dataset=synthetic-criteo --rows=2000 --num_features=900 --embedding_dim=4)
  longer=()
  short=(--epochs=1 --prune_epochs=1 --budgets=20% --checkpoint_every=20)
fi

part() { # NAME COMMAND...
  local name=$1 started=$SECONDS code left=$((end - SECONDS)); shift
  if [ "$only" != "  " ] && [[ "$only" != *" $name "* ]]; then return; fi
  if [ "$left" -lt 1 ]; then echo "$name: left out, the time is up" | tee -a "$out/summary"; return; fi
  timeout -s INT -k 20 "$left" "$@" > "$out/$name" 2>&1
  code=$?
  echo "$name: exit code $code, $((SECONDS - started)) s" | tee -a "$out/summary"
}
step() { part "step_$1" "$python" -m benchmarks.step_time "${steps[@]}" "${@:2}"; }
run() { part "$1" "$python" "${main[@]}" --run_dir="$out/run_${1%%.*}" "${@:2}"; }
stopped() { # RUN_DIR COMMAND...: killed at the first checkpoint
  "${@:2}" & local own=$!
  while kill -0 $own 2> /dev/null && [ -z "$(ls "$1/work" 2> /dev/null)" ]; do sleep 0.2; done
  kill $own; wait $own
  [ -n "$(ls "$1/work")" ]
}
export -f stopped

part device "$python" -c "import tensorflow as tf; print(tf.config.list_physical_devices('GPU')); assert '$small' or tf.test.gpu_device_name()"
step 2m --num_features=$rows
step 20m --num_features=$many
step dense --num_features=$rows --updates=dense
step ticket --num_features=$rows --kept=0.01
step 4000 --num_features=4000
step tower --num_features=$rows --floor
step 2m_not_deterministic --num_features=$rows --nodeterministic
part parity "$python" -m pytest -q ${small:+-k fm} tests/test_reference_parity.py
# Two runs alike, then one that is stopped at its first checkpoint and resumed: the same tables to the last digit.
for name in a b; do run $name "${movielens[@]}" "${short[@]}"; done
part c_stopped bash -c 'stopped "$@"' - "$out/run_c" "$python" "${main[@]}" --run_dir="$out/run_c" "${movielens[@]}" "${short[@]}"
run c "${movielens[@]}" "${short[@]}" --resume
for name in b c; do part "same_as_a_$name" diff -r --exclude=done.json "$out/run_a/tickets" "$out/run_$name/tickets"; done
run criteo "${criteo[@]}" --model=deepfm "${short[@]}"
run whole "${movielens[@]}" ${small:+"${short[@]}"}
for precision in float32 tf32 bfloat16; do
  run auc_$precision "${movielens[@]}" --model=deepfm --precision=$precision "${short[@]}" "${longer[@]}"
done
part cut "$python" -m pytest -q tests/training/test_gpu_cut.py
step hlo --num_features=$rows --hlo
