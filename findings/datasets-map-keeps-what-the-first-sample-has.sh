#!/usr/bin/env bash
# Expected: when the function given to Dataset.map, or the generator of from_generator,
# returns for each sample what that sample has, a column that some lack has None for
# them; or an error says that the keys differ. The streaming map keeps all, and so does
# a dictionary within a column.
#
# What happens: the keys of the first sample are those of all. If the first one lacks the
# audio, the audio of all others is dropped, without a word; if the first one has it and
# another lacks it, it is an error. So the same samples are refused or lose a modality by
# their order. With several processes each of them has a first sample of its own: whole
# parts of the table have None where most samples have audio, beside parts that kept it.
#
# Version: datasets 5.2.0.
# Matters to: decoding samples with missing modalities: the run that begins with a
# complete sample fails and is mended, and the other one trains without a modality.
# Source: datasets/arrow_writer.py, write_examples_on_file: the columns are the keys of
# current_examples[0]. (The note for from_list says so for lists; none does for these.)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'datasets==5.2.0' 'numpy==2.4.6' 'pandas==3.1.1' 'pyarrow==26.0.1'
cd "$dir"
export HF_HUB_OFFLINE=1 HF_HOME="$dir/home" HF_DATASETS_DISABLE_PROGRESS_BARS=1
cat > run.py <<'PY'
import datasets
from datasets import Dataset

def decode(sample):
    number = sample["id"]
    return {"text": f"text {number}", **({} if number % 4 == 0 else {"audio": [number / 10] * 3})}

def attempt(title, make):
    try:
        made = make()
    except Exception as refusal:
        print(f"seen: {title}: {type(refusal).__name__}: {str(refusal).splitlines()[0]}")
        return None
    columns = made.column_names
    heard = [number for number, audio in zip(made["id"], made["audio"]) if audio is not None] if "audio" in columns else []
    print(f"seen: {title}: columns {columns}, audio of {heard}")
    return columns, heard

if __name__ == "__main__":
    print("guess: samples without audio have None, the others have theirs; or an error")
    print("versions: datasets", datasets.__version__)
    having = [number for number in range(12) if number % 4]
    table = Dataset.from_dict({"id": list(range(12))})
    turned = table.select([1, 0, *range(2, 12)])

    streamed = list(table.to_iterable_dataset().map(decode))
    print("seen: streamed: audio of", [sample["id"] for sample in streamed if "audio" in sample])
    assert [sample["id"] for sample in streamed if "audio" in sample] == having
    nested = table.map(lambda sample: {"all": decode(sample)})
    assert [sample["id"] for sample in nested if sample["all"].get("audio")] == having
    print("seen: in one dictionary within a column: audio of all that have it")

    assert attempt("map, first sample without", lambda: table.map(decode)) == (["id", "text"], [])
    assert attempt("map, first sample with", lambda: turned.map(decode)) is None
    samples = [{"id": number, **decode({"id": number})} for number in range(12)]
    assert attempt("from_generator, first sample without", lambda: Dataset.from_generator(lambda: iter(samples))) == (["id", "text"], [])
    assert attempt("from_generator, first sample with", lambda: Dataset.from_generator(lambda: iter(samples[1:]))) is None

    # Two parts of six rows: in the second one all have the audio.
    order = table.select([0, 1, 2, 4, 3, 5, 6, 7, 9, 10, 11, 11])
    assert attempt("map in 2 processes", lambda: order.map(decode, num_proc=2)) == (["id", "text", "audio"], [6, 7, 9, 10, 11, 11])
PY
venv/bin/python -W ignore run.py
