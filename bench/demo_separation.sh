#!/usr/bin/env bash
# Render the separation benchmark, train ContAV-Sep, replay and fine-tuning from one shared first stage, compare them.
# DEMO: the folder that everything goes to. SEED: of the data's rendering excepted, of everything.
set -euo pipefail
demo=${DEMO:-runs/demo-separation} seed=${SEED:-0} methods=(replay fine_tune)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
# A demo that was cut off and goes on counts the seconds of all its parts.
before=$(cat "$demo/seconds" 2>/dev/null || echo 0)
mkdir -p "$demo"
trap 'echo $((before + SECONDS)) > "$demo/seconds"' EXIT
cavs-dist data scenes "$demo/scenes" preset=scenes-solo
cavs-dist train separation/contavsep out="$demo/contavsep" data.path="$demo/scenes" seed="$seed"
for method in "${methods[@]}"; do
  cavs-dist train "separation/$method" out="$demo/$method" data.path="$demo/scenes" seed="$seed" \
    train.start="$demo/contavsep"
done
runs=(contavsep "${methods[@]}")
cavs-dist report "${runs[@]/#/$demo/}" --out "$demo" --seconds $((before + SECONDS))
tr -d '\n' < "$demo/summary.json" && echo
