#!/usr/bin/env bash
# Render the 8-class benchmark, train CMR and fine-tuning from one shared first stage, compare them.
# DEMO: the folder that everything goes to. SEED: of the data's rendering excepted, of everything.
set -euo pipefail
demo=${DEMO:-runs/demo} seed=${SEED:-0}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
# A demo that was cut off and goes on counts the seconds of all its parts.
before=$(cat "$demo/seconds" 2>/dev/null || echo 0)
mkdir -p "$demo"
trap 'echo $((before + SECONDS)) > "$demo/seconds"' EXIT
cavs-dist data scenes "$demo/scenes"
cavs-dist train demo out="$demo/cmr" data.path="$demo/scenes" seed="$seed"
cavs-dist train demo out="$demo/fine_tune" data.path="$demo/scenes" seed="$seed" \
  method.name=fine_tune memory.select=none rehearse.weight=uniform train.start="$demo/cmr"
cavs-dist report "$demo/cmr" "$demo/fine_tune" --out "$demo" --seconds $((before + SECONDS))
tr -d '\n' < "$demo/summary.json" && echo
