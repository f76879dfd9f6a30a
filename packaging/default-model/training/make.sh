#!/usr/bin/env bash
# Makes the default model: make.sh DATA MODEL OUT
# DATA has corpus/ and terms/ (prepare.py); MODEL is the Hugging Face folder that it is grown from, the first default
# model for the same figures; OUT/model is what comes out, OUT/run the state that a longer run starts from. Needs torch,
# safetensors, numpy and jieba (PyPI), zstd, and a built tiankong for the calibration. Stopped and begun again it goes on.
set -euo pipefail
[ $# = 3 ] || { sed -n 2,5p "$0" >&2; exit 64; }
here=$(cd "$(dirname "$0")" && pwd) data=$(realpath "$1") model=$(realpath "$2")
mkdir -p "$3"
out=$(realpath "$3") root=$(cd "$here/../../.." && pwd)
export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=${MASTER_PORT:-29500} OMP_NUM_THREADS=1
# oneDNN keeps a kernel for every shape it ever saw.
export ONEDNN_PRIMITIVE_CACHE_CAPACITY=128 MALLOC_ARENA_MAX=2

[ -e "$out/pieces/done" ] || { python3 "$here/prepare.py" "$here/recipe.json" "$data" "$model/vocab.txt" "$root/suites" "$out/pieces" && touch "$out/pieces/done"; }
# First everything, then, at a lower rate, mostly what is to be known by heart. A phase that is over ends at once.
for recipe in recipe by-heart; do
    RANK=1 python3 "$here/train.py" "$here/$recipe.json" "$out/pieces" "$model" "$out/run" &
    RANK=0 python3 "$here/train.py" "$here/$recipe.json" "$out/pieces" "$model" "$out/run"
    wait $!
done
python3 "$here/export.py" "$here/by-heart.json" "$model" "$out/run/checkpoint.pt" "$out/model"
"${TIANKONG_BINARY:-$root/.build/release/tiankong}" calibrate "$out/model" --write
