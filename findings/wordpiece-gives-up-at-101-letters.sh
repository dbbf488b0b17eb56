#!/usr/bin/env bash
# Expected: WordPiece takes a long word apart into pieces; a tokenizer that was
# trained on sequences of 200 letters can write these sequences in its pieces.
#
# What happens: any word of more than 100 characters is one single unknown token,
# also the words of its own training, also with every letter in the vocabulary.
# 100 residues are some pieces, 101 are [UNK], without a warning. The trainer has
# no such limit: it learns pieces from words that can then never be read.
#
# Version: tokenizers 0.23.3.
# Matters to: proteins and DNA as a text modality, which have no blanks: short
# ones are represented, long ones are all the same token, so length decides what
# a model sees. `max_input_chars_per_word` has to be set on the model.
# Source: tokenizers models.WordPiece, max_input_chars_per_word = 100.
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

print("guess: words of any length are taken apart")
print("versions: tokenizers", tokenizers.__version__)
protein = "MKVLAAGIVGLCAKTYEQHRNDPSWF" * 8
sequences = [protein[i : i + 200] for i in range(8)]

def trained(**options):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", **options))
    tokenizer.train_from_iterator(sequences, trainers.WordPieceTrainer(
        vocab_size=120, special_tokens=["[UNK]"], show_progress=False))
    return tokenizer

tokenizer, wide = trained(), trained(max_input_chars_per_word=10_000)
for length in (99, 100, 101, 200):
    part = sequences[0][:length]
    tokens = tokenizer.encode(part).tokens
    print(f"seen: {length} residues: {len(tokens)} token(s), first {tokens[0]}; "
          f"with a higher limit {len(wide.encode(part).tokens)}")
    assert (tokens == ["[UNK]"]) == (length > 100)
    assert "[UNK]" not in wide.encode(part).tokens
print("seen: of the", len(sequences), "sequences of the training,",
      sum(tokenizer.encode(s).tokens == ["[UNK]"] for s in sequences), "are [UNK]")
assert all(tokenizer.encode(s).tokens == ["[UNK]"] for s in sequences)
EOF
