#!/usr/bin/env bash
# Trains a tiny reranker from nothing but MS MARCO passages, and reranks two test sets with it.
#
#   bash examples/from_scratch/train.sh DATA_DIR VOCABULARY_FILE OUTPUT_DIR
#
# DATA_DIR holds msmarco_passage_train, msmarco_passage_dev and trec_dl21 (collection.tsv,
# queries.tsv, qrels.txt, run.bm25.txt). What it does and reaches: README.md here and RESULTS.md.
set -euo pipefail
data=$(cd "$1" && pwd)
vocabulary=$(realpath "$2")
output=$(realpath -m "$3")

train() { # LOSS NAME TRAIN_FILES INITIAL_CHECKPOINT_PATH BINDING...
    local loss=$1 name=$2 lists=$3 start=$4
    shift 4
    t5rank train \
        --gin_file=t5rank/configs/recipes/msmarco_passage_${loss}_tiny.gin \
        --gin_file=t5rank/configs/models/rankt5_encoder.gin --gin.POOLING="'mean'" \
        --gin.MODEL_DIR="$output/$name" --gin.DATA_DIR="$data" \
        --gin.VOCABULARY_FILE="$vocabulary" --gin.TRAIN_FILES="$lists" \
        --gin.INITIAL_CHECKPOINT_PATH="$start" --gin.BATCH_SIZE=16 "$@"
}

source=$data/msmarco_passage_train
keywords() { # NAME OPTION...
    t5rank lists "$output/$1" --keywords --collection "$source/collection.tsv" \
        --run "$source/run.bm25.txt" "${@:2}"
}
keywords keywords16 --words 16 --query_words 3 4 --random 16
keywords keywords40 --words 40 --query_words 3 7 --queries_per_document 3 --near 8
keywords keywords80 --words 80 --query_words 3 8 --queries_per_document 3 --near 8
real=$output/real
mkdir -p "$real"
cp "$source"/{collection.tsv,queries.tsv,qrels.txt} "$real"
# Every relevant passage is of MS MARCO v1: without those of v2 the model cannot tell them apart.
awk '$3 !~ /^msmarco_passage_/' "$source/run.bm25.txt" > "$real/run.txt"
real_files="{'collection': '$real/collection.tsv', 'queries': '$real/queries.tsv', 'qrels': '$real/qrels.txt', 'run': '$real/run.txt'}"

# Words first: short texts, then longer ones with others about the same subject.
train softmax words16 "'$output/keywords16'" None --gin.LIST_SIZE=8 --gin.INPUT_LENGTH=48 \
    --gin.TRAIN_STEPS=1500 --gin.LEARNING_RATE=1e-3 --gin.EVAL_PERIOD=0
train softmax words40 "'$output/keywords40'" "$output/words16/checkpoint_1500" --gin.LIST_SIZE=8 \
    --gin.INPUT_LENGTH=80 --gin.TRAIN_STEPS=2500 --gin.LEARNING_RATE=1e-3 --gin.EVAL_PERIOD=0
train softmax words80 "'$output/keywords80'" "$output/words40/checkpoint_2500" --gin.LIST_SIZE=8 \
    --gin.INPUT_LENGTH=112 --gin.TRAIN_STEPS=2000 --gin.LEARNING_RATE=7e-4 --gin.EVAL_PERIOD=0

# Then the real queries, with both losses.
for loss in softmax sigmoid; do
    train $loss $loss "$real_files" "$output/words80/checkpoint_2000" --gin.LIST_SIZE=10 \
        --gin.INPUT_LENGTH=112 --gin.TRAIN_STEPS=600 --gin.LEARNING_RATE=3e-4
    for set in msmarco_passage_dev trec_dl21; do
        t5rank rerank --model "$output/$loss" --step 600 --queries "$data/$set/queries.tsv" \
            --collection "$data/$set/collection.tsv" --run "$data/$set/run.bm25.txt" \
            --output "$output/$set.$loss.txt"
    done
done
