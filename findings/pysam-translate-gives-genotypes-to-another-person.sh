#!/usr/bin/env bash
# Expected: `record.translate(header)` prepares a variant for a file with another
# header, by names: contig, fields and samples. Without it, writing a record into such
# a file is translated or refused.
#
# What happens: translate maps contig and fields by their names, and leaves the columns
# of genotypes where they are: in a header with the same people in another order every
# genotype belongs to another person. Without translate, write takes everything by
# number: the variant is on another chromosome, and two fields exchange their values.
# Only another number of people is refused.
#
# Version: pysam 0.24.1.
# Matters to: genotypes as a modality, collected from files of several batches or
# callers into one: files are valid, counts and frequencies are right, and the people
# are not those whose scans and tables are joined to them.
# Source: pysam/libcbcf.pyx, VariantRecord.translate (bcf_translate of htslib, which
# documents ids of contigs and fields only) and VariantFile.write.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check 'pysam==0.24.1'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import pysam

print("guess: a translated record has the same genotype for the same person")
print("versions: pysam", pysam.__version__)

def header(contigs, fields, people):
    made = pysam.VariantHeader()
    for contig in contigs:
        made.contigs.add(contig, length=1_000_000)
    for field in fields:
        made.info.add(field, 1, "Integer", field)
    made.formats.add("GT", 1, "String", "Genotype")
    for person in people:
        made.add_sample(person)
    return made

people = ["p01", "p02", "p03"]
genotypes = {"p01": (0, 0), "p02": (0, 1), "p03": (1, 1)}
variants = [("chr1", 100), ("chr10", 200), ("chr2", 300)]
with pysam.VariantFile("batch.vcf", "w", header=header(["chr1", "chr10", "chr2"], ["DP", "NS"], people)) as batch:
    for contig, place in variants:
        record = batch.new_record(contig=contig, start=place - 1, stop=place, alleles=("A", "C"), info={"DP": 30, "NS": 3})
        for person, genotype in genotypes.items():
            record.samples[person]["GT"] = genotype
        batch.write(record)

def copied(order, translate):
    into = header(["chr1", "chr2", "chr10"], ["NS", "DP"], order)
    with pysam.VariantFile("batch.vcf") as batch, pysam.VariantFile("all.vcf", "w", header=into) as everyone:
        for record in batch:
            if translate:
                record.translate(into)
            everyone.write(record)
    with pysam.VariantFile("all.vcf") as everyone:
        return [(record.contig, dict(record.info), {name: call["GT"] for name, call in record.samples.items()})
                for record in everyone]

for translate in (True, False):
    for order in (people, people[::-1]):
        read = copied(order, translate)
        contigs = [contig for contig, _, _ in read]
        print(f"seen: {'translated' if translate else 'written as it is'}, people {order}: contigs {contigs}, "
              f"fields {read[0][1]}, genotypes {read[0][2]}")
        assert contigs == (["chr1", "chr10", "chr2"] if translate else ["chr1", "chr2", "chr10"])
        assert read[0][1] == ({"DP": 30, "NS": 3} if translate else {"NS": 30, "DP": 3})
        for _, _, calls in read:
            assert calls == dict(zip(order, genotypes.values())) and (calls == genotypes) == (order == people)
try:
    copied(people[:2], True)
    raise SystemExit("fewer people were taken")
except Exception as refusal:
    print("seen: fewer people:", type(refusal).__name__, refusal)
EOF
