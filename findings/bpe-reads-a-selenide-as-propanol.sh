#!/usr/bin/env bash
# Expected: a BPE tokenizer without an unknown token refuses a character that it
# was not trained on, or ends the token there; the rest cannot join across it.
#
# What happens: unseen characters vanish before merging, and their neighbours are
# merged as if they had stood together: CC[Se]CO and CCCO are the same single
# token. Two molecules, one input, and nothing is left to count. With unk_token
# set every unseen character shows; WordLevel and Unigram refuse in the same case.
#
# Version: tokenizers 0.23.3.
# Matters to: molecules (SMILES), sequences and panel names as a text modality:
# BPE() without arguments is the form of the short examples, and an atom or a
# non-standard residue of new data is silently another compound.
# Source: the BPE model of tokenizers, merge_word: a character without an id adds
# no symbol when unk_token is None.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tokenizers==0.23.3'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import tokenizers
from tokenizers import Tokenizer, models, trainers

print("guess: an unseen character is refused or separates tokens")
print("versions: tokenizers", tokenizers.__version__)
seen_in_training = ["CCO", "CCN", "CCCO", "CC(=O)O", "c1ccccc1", "CCBr"]

def trained(model, trainer):
    tokenizer = Tokenizer(model)
    tokenizer.train_from_iterator(seen_in_training, trainer)
    return tokenizer

plain = trained(models.BPE(), trainers.BpeTrainer(vocab_size=40, show_progress=False))
marked = trained(models.BPE(unk_token="[UNK]"),
                 trainers.BpeTrainer(vocab_size=40, show_progress=False, special_tokens=["[UNK]"]))
unigram = trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=30, show_progress=False))

for one, other in [("CC[Se]CO", "CCCO"), ("CCFO", "CCO")]:
    print(f"seen: {one} {plain.encode(one).tokens}, {other} {plain.encode(other).tokens}; "
          f"with unk_token {one} {marked.encode(one).tokens}")
    assert plain.encode(one).ids == plain.encode(other).ids == plain.encode(other + "#").ids
    assert plain.encode(one).tokens == [other]
    assert marked.encode(one).tokens != marked.encode(other).tokens
assert marked.encode("CC[Se]CO").tokens.count("[UNK]") == 4
assert plain.encode("#@").ids == []
print("seen: #@ alone:", plain.encode("#@").tokens)
try:
    unigram.encode("CC[Se]CO")
    raise SystemExit("Unigram took it")
except Exception as refusal:
    print("seen: Unigram refuses:", refusal)
EOF
