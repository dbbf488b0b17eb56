"""Writes the HDF5 and Zarr files of the tests with the libraries of the field.

    python -m venv env && env/bin/pip install anndata==0.12.19 mudata==0.3.10 h5py hdf5storage
    env/bin/python make_hdf5.py

Values are such that a test can say them: cell i of gene j holds i + j / 10 where it is not zero.
"""

import pathlib
import shutil

import anndata as ad
import h5py
import hdf5storage
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr

HERE = pathlib.Path(__file__).parent
ad.settings.allow_write_nullable_strings = True


def counts(rows, columns, first=0):
    """Mostly zeros: cell i of gene j is i + 1 where (i + j) % 3 == 0."""
    i, j = np.mgrid[first : first + rows, :columns]
    return np.where((i + j) % 3 == 0, i + 1, 0)


def genes(n, prefix="G"):
    return pd.DataFrame(index=[f"{prefix}{j}" for j in range(n)])


def cells(rows, first=0):
    """Columns of every encoding of anndata 0.12."""
    n = range(first, first + rows)
    kinds = np.array(["B cell", "T cell", "NK"])
    return pd.DataFrame(
        {
            "cell_type": pd.Categorical(
                [None if i == 2 else kinds[i % 3] for i in n], categories=["T cell", "NK", "B cell"]
            ),
            "batch": pd.Categorical([i % 2 for i in n]),
            "treated": pd.Categorical([i % 2 == 0 for i in n]),
            "donor": [f"d{i % 3}" for i in n],
            "age": np.array([30 + i for i in n], dtype=np.int64),
            "score": np.array([np.nan if i == 1 else i + 0.25 for i in n]),
            "passed": np.array([i % 3 == 0 for i in n]),
            "weight": pd.array([None if i == 0 else i for i in n], dtype="Int16"),
            "smokes": pd.array([None if i == 3 else i % 2 == 0 for i in n], dtype="boolean"),
            "note": pd.array([None if i == 1 else f"note {i}" for i in n], dtype="string"),
        },
        index=[f"cell{i}" for i in n],
    )


def dense():
    i, j = np.mgrid[:6, :4]
    a = ad.AnnData((i + j / 10).astype(np.float32), obs=cells(6), var=genes(4))
    a.layers["counts"] = sp.csr_matrix(counts(6, 4).astype(np.int64))
    a.layers["half"] = a.X.astype(np.float16)
    a.obsm["X_pca"] = np.array([[k, -k] for k in range(6)], dtype=np.float64)
    a.obsm["adt"] = pd.DataFrame(
        {"CD3": range(6), "CD4": [0.5 * k for k in range(6)]}, index=a.obs_names
    )
    a.write_h5ad(HERE / "dense.h5ad", convert_strings_to_categoricals=False)


def sparse():
    a = ad.AnnData(sp.csr_matrix(counts(6, 5).astype(np.float64)), var=genes(5))
    a.obs_names = [f"cell{i}" for i in range(6)]
    a.obs["label"] = pd.Categorical(["a", "b", "a", "b", "a", "b"])
    a.layers["lzf"] = counts(6, 5).astype(np.int32)
    a.write_h5ad(HERE / "csr.h5ad", compression="gzip")

    # The index as a group of values and mask, as anndata 0.13 with pandas 3 writes it.
    b = ad.AnnData(sp.csc_matrix(counts(6, 5).astype(np.int32)), var=genes(5))
    b.obs_names = pd.Index(pd.array([f"cell{i}" for i in range(6)], dtype="string"))
    b.var_names = pd.Index(pd.array([f"G{j}" for j in range(5)], dtype="string"))
    b.write_h5ad(HERE / "csc.h5ad", compression="lzf")

    # Without X, as a container of embeddings.
    c = ad.AnnData(obs=pd.DataFrame(index=["x", "y"]), obsm={"X_umap": np.eye(2)})
    c.write_h5ad(HERE / "no_x.h5ad")


def modalities():
    """Cells 0 to 4 have genes, 2 to 7 proteins in another order; some have both."""
    rna = ad.AnnData(sp.csr_matrix(counts(5, 5).astype(np.float32)), var=genes(5))
    rna.obs_names = [f"cell{i}" for i in range(5)]
    rna.obs["kind"] = pd.Categorical([f"k{i % 2}" for i in range(5)])
    rna.obs["depth"] = np.arange(5.0)
    rows = [7, 3, 2, 4, 5, 6]
    i, j = np.mgrid[:6, :3]
    protein = ad.AnnData(
        (np.array(rows)[i] + j / 10).astype(np.float64), var=genes(3, prefix="P")
    )
    protein.obs_names = [f"cell{i}" for i in rows]
    # The same classes as text, not as categories.
    protein.obs["kind"] = pd.array([f"k{i % 2}" for i in rows], dtype="string")
    protein.obs["clash"] = pd.Categorical([f"p{i}" for i in rows])
    rna.obs["clash"] = pd.Categorical(["p0", "p1", "p2", "other", "p4"])
    return {"protein": protein, "rna": rna}


def several():
    m = md.MuData(modalities())
    m.obsm["X_joint"] = np.array([[k, 10.0 * k] for k in range(m.n_obs)])
    m.obs["site"] = pd.Categorical([f"s{k % 2}" for k in range(m.n_obs)])
    # Columns of modalities in the global table, as mudata 0.3 writes them.
    md.set_options(pull_on_update=True)
    m.update()
    m.write(HERE / "several.h5mu")
    # Without them, as mudata 0.4 does; and one modality with text where the other has categories.
    md.set_options(pull_on_update=False)
    n = md.MuData(modalities())
    n.write(HERE / "unpulled.h5mu")
    with h5py.File(HERE / "unpulled.h5mu", "r+") as f:
        obs = f["mod/protein/obs"]
        kinds = [k for k in n["protein"].obs["kind"]]
        ad.io.write_elem(obs, "kind", pd.array(kinds, dtype="string"))
    # Cells without genes: the modality has no rows.
    m[[k for k, name in enumerate(m.obs_names) if name in ("cell5", "cell6", "cell7")]].copy().write(
        HERE / "subset.h5mu"
    )


def tenx():
    """The layout of Cell Ranger 3 and later: features by barcodes, fixed-length strings."""
    names = ["TP53", "MYC", "MYC", "CD3", "CD4"]
    ids = ["ENSG1", "ENSG2", "ENSG3", "CD3", "CD4"]
    types = ["Gene Expression"] * 3 + ["Antibody Capture"] * 2
    x = sp.csc_matrix(counts(4, 5).T.astype(np.int32))
    with h5py.File(HERE / "tenx.h5", "w") as f:
        f.attrs["chemistry_description"] = "Single Cell 3' v3"
        f.attrs["filetype"] = "matrix"
        g = f.create_group("matrix")
        g["barcodes"] = np.array([f"AAAC{i}-1" for i in range(4)], dtype="S8")
        g.create_dataset("data", data=x.data, compression="gzip")
        g.create_dataset("indices", data=x.indices.astype(np.int64), compression="gzip")
        g.create_dataset("indptr", data=x.indptr.astype(np.int64), compression="gzip")
        g["shape"] = np.array(x.shape, dtype=np.int32)
        features = g.create_group("features")
        features["_all_tag_keys"] = np.array(["genome"], dtype="S6")
        features["id"] = np.array(ids, dtype="S5")
        features["name"] = np.array(names, dtype="S4")
        features["feature_type"] = np.array(types, dtype="S16")
        features["genome"] = np.array(["GRCh38"] * 3 + [""] * 2, dtype="S6")


def plain():
    """Arrays in groups, of many types."""
    i, j = np.mgrid[:4, :3]
    x = i + j / 10
    with h5py.File(HERE / "plain.h5", "w") as f:
        f.create_dataset("group/big", data=x.astype(">f8"), chunks=(2, 2), compression="gzip", shuffle=True)
        f.create_dataset("group/half", data=x.astype("<f2"), compression="lzf", chunks=(3, 3))
        f.create_dataset("group/whole", data=(10 * x).astype(">i2"), fletcher32=True, chunks=(4, 1))
        f.create_dataset("group/flags", data=x > 1)
        f.create_dataset("group/bytes", data=(10 * x).astype("u1"))
        f.create_dataset("group/words", data=["a", "b", "a", "c"])
        f.create_dataset("group/pair", data=np.zeros(4, dtype=[("a", "f4"), ("b", "i2")]))
        f.create_dataset("group/volume", data=np.arange(4 * 2 * 3 * 4, dtype="f4").reshape(4, 2, 3, 4))
    with h5py.File(HERE / "arrays.h5", "w") as f:
        f["a"] = x.astype("f4")
        f["b"] = (10 * x[:, :2]).astype("i8")
        f["labels"] = ["cat", "dog", "cat", "dog"]
        f["ids"] = np.array(["p1", "p2", "p3", "p4"], dtype="S2")


def matlab():
    """MAT 7.3: axes reversed, classes in attributes."""
    i, j = np.mgrid[:4, :3]
    hdf5storage.savemat(
        str(HERE / "matlab.mat"),
        {
            "x": i + j / 10,
            "whole": (10 * i + j).astype(np.int16),
            "flags": (i + j) % 2 == 0,
            "empty": np.zeros((0, 3)),
            "name": "text",
        },
        format="7.3",
        oned_as="column",
        store_python_metadata=False,
    )


def old():
    """An .h5ad as anndata 0.7 wrote it: categories beside the table, sparse by other attributes."""
    text = h5py.string_dtype()
    x = sp.csr_matrix(counts(4, 5).astype(np.float32))
    with h5py.File(HERE / "old.h5ad", "w") as f:
        g = f.create_group("X")
        g.attrs["h5sparse_format"] = "csr"
        g.attrs["h5sparse_shape"] = np.array(x.shape)
        for name in ("data", "indices", "indptr"):
            g[name] = getattr(x, name)
        obs = f.create_group("obs")
        obs.attrs["_index"] = "_index"
        obs.attrs["column-order"] = np.array(["kind"], dtype=text)
        obs.attrs["encoding-type"] = "dataframe"
        obs.attrs["encoding-version"] = "0.1.0"
        obs.create_dataset("_index", data=[f"c{i}" for i in range(4)], dtype=text)
        obs["kind"] = np.array([0, 1, -1, 1], dtype="i1")
        obs.create_dataset("__categories/kind", data=["ka", "kb"], dtype=text)
        obs["kind"].attrs["categories"] = obs["__categories/kind"].ref
        var = f.create_group("var")
        var.attrs["_index"] = "names"
        var.attrs["column-order"] = np.array([], dtype=text)
        var.create_dataset("names", data=[f"G{j}" for j in range(5)], dtype=text)


def folders():
    """Folders, each packed into an archive: versions 2 and 3, plain and with chunks in shards."""
    a = ad.read_h5ad(HERE / "csr.h5ad")
    a.obsm["X_pca"] = np.zeros((6, 2), dtype=np.float32)
    a.obsm["X_pca"][4:] = 1.5
    a.obsm["X_pca"][4] = 0
    m = md.MuData(modalities())
    for name, version, shards in (
        ("cells_v2", 2, False),
        ("cells_v3", 3, False),
        ("cells_sharded", 3, True),
        ("several", 3, False),
    ):
        ad.settings.zarr_write_format = version
        ad.settings.auto_shard_zarr_v3 = shards
        folder = HERE / f"{name}.zarr"
        shutil.rmtree(folder, ignore_errors=True)
        if name == "several":
            m.write_zarr(folder)
        else:
            a.write_zarr(folder)
            # Two rows a chunk, of which the first two chunks are nothing but the fill value.
            store = zarr.open_group(folder, mode="r+", use_consolidated=False)
            chunks = {"chunks": (2, 2), "shards": (6, 2)} if shards else {"chunks": (2, 2)}
            ad.io.write_elem(store["obsm"], "X_pca", a.obsm["X_pca"], dataset_kwargs=chunks)
        shutil.make_archive(str(folder), "zip", folder)
        shutil.rmtree(folder)


if __name__ == "__main__":
    dense()
    sparse()
    several()
    tenx()
    plain()
    matlab()
    old()
    folders()
