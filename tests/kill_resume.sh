#!/bin/sh
# Training runs killed many times at random instants and resumed end with the same bytes as some that were never stopped.
# Usage: kill_resume.sh TELEPATHY [SEED]   (makes its own tiny models and data; nothing is judged by time)
set -eu
telepathy=$1
seed=${2:-1}
dir=$(mktemp -d /tmp/telepathy-test-XXXXXX)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# Text of our own to make two tokenizers and two small models from.
awk 'BEGIN { srand(1); n = split("red green blue cat dog bird runs sleeps sings tall small river city year why who where number", w, " ");
  for (d = 0; d < 300; d++) { line = ""; for (i = 0; i < 12; i++) line = line w[int(rand() * n) + 1] " "; print "{\"text\": \"" line "\"}" } }' >text.jsonl
mkdir wren-tok finch-tok
"$telepathy" tokenizer -q --kind byte-level --vocab-size 300 --out wren-tok text.jsonl >/dev/null
"$telepathy" tokenizer -q --kind sentencepiece --vocab-size 330 --out finch-tok text.jsonl >/dev/null
shape='"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu"'
echo "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 300, $shape}" >wren.json
echo "{\"model_type\": \"mistral\", \"architectures\": [\"MistralForCausalLM\"], \"vocab_size\": 330, \"sliding_window\": 16, $shape}" >finch.json
for m in wren finch; do
  "$telepathy" pretrain -q --config $m.json --tokenizer $m-tok --out $m --steps 3 --batch-tokens 256 text.jsonl >/dev/null
done

cat >recipe.json <<EOF
{"models": {"sender": "wren", "receiver": "finch"}, "task": {"name": "demo", "max_train": 300},
 "bridge": {"soft_tokens": 3, "depth": 1, "heads": 2, "width": 16, "dropout": 0.1},
 "optimiser": {"steps": 60, "batch": 8, "accumulate": 2, "lr": 1e-3}, "early_stopping": {"every": 20, "patience": 0},
 "quick_eval": {"every": 30, "examples": 8}, "calibration": {"texts": 50}, "math": "f32"}
EOF
# The same with what else training can do: losses with heads, regimes, a second task, a cascade.
awk 'BEGIN { srand(2); print "text,label"; n = split("red green blue cat dog bird", w, " ");
  for (i = 0; i < 200; i++) { k = int(rand() * n) + 1; print "the " w[k] " is number " i "," (k > 3 ? "animal" : "colour") } }' >second.csv
cat >full.json <<EOF
{"models": {"sender": "wren", "receiver": "finch"}, "task": {"name": "demo", "max_train": 300},
 "tasks": [{"task": {"train_file": "second.csv"}, "weight": 0.5}],
 "bridge": {"soft_tokens": 3, "depth": 1, "heads": 2, "width": 16, "dropout": 0.1, "grow": [[0, 1], [10, 3]]},
 "losses": [{"name": "lm"}, {"name": "diversity", "weight": 1}, {"name": "bottleneck", "tokens": 1}, {"name": "contrastive"}, {"name": "anchor"},
   {"name": "recon", "of": "token"}, {"name": "bow"}, {"name": "distill", "schedule": {"kind": "window", "to": 20}},
   {"name": "align", "weight": 100, "schedule": {"kind": "anneal", "from": 20, "to": 30}}],
 "regime": {"mask_answers": 0.3, "mask_with": "noise", "gradient_scale": 2.0, "text_steps": 15},
 "cascade": {"restarts": 10}, "optimiser": {"steps": 60, "batch": 8, "lr": 1e-2}, "math": "f32",
 "early_stopping": {"every": 10, "patience": 0}, "quick_eval": {"every": 30, "examples": 8}, "calibration": {"texts": 50}}
EOF
train() { "$telepathy" train -q --recipe $recipe.json --save-every 4 --out "$1"; }

for recipe in recipe full; do
most=20
[ $recipe = full ] && most=8
rm -rf unbroken broken
train unbroken >/dev/null
kills=0 tries=0
while [ $kills -lt $most ] && [ $tries -lt 200 ]; do
  tries=$((tries + 1))
  # from before the first step to long after the last one, the same instants for the same seed
  after=$(awk -v s="$seed" -v k="$tries" 'BEGIN { srand(s * 1000 + k); printf "%.3f", 0.02 + rand() * 0.6 }')
  if timeout -s KILL "$after" "$telepathy" train -q --recipe $recipe.json --save-every 4 --out broken >/dev/null 2>&1; then
    rm -rf broken # it came to its end before being killed: begin again
  else
    kills=$((kills + 1))
  fi
done
[ $kills -eq $most ] || { echo "only $kills of $most runs could be killed before their end"; exit 1; }
train broken >/dev/null

diff -r unbroken broken || { echo "FAILED: the runs differ after $kills kills"; exit 1; } # nor is a file left over
echo "$recipe: killed $kills times, same bytes"
done
