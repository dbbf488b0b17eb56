#!/usr/bin/env bash
# Expected: netCDF4-python masks what a file declares as missing. A variable
# without _FillValue, missing_value and valid_range has nothing to mask and comes
# back as it was stored, 65535 included.
#
# What happens: the library's own default fill values count as missing even where
# the file declares none, also in HDF5 files that never were netCDF. For uint16
# that is 65535, for uint8 written by netCDF4 255: exactly the saturated pixels
# and the last label. Means are lower, maxima are another pixel, counts of pixels
# do not add up. Declaring "no fill value" helps for 8 bits and not for 16. xarray
# and h5py return the same files unchanged.
#
# Version: netCDF4 1.7.5.1.post1, xarray 2026.9.0, h5py 3.16.0.
# Matters to: 16-bit microscopy and detector images, and readers that turn the
# mask into "not observed": the brightest places become missing.
# Source: netCDF4 Variable._toma and default_fillvals, set_auto_mask.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'netCDF4==1.7.5.1.post1' 'xarray==2026.9.0' 'h5py==3.16.0' 'h5netcdf==1.8.2' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import h5py, netCDF4, numpy as np, xarray

print("guess: without a declared fill value nothing is masked")
print("versions: netCDF4", netCDF4.__version__, "xarray", xarray.__version__, "h5py", h5py.__version__)

def hidden(variable):
    return np.ma.getmaskarray(variable[:]).sum()

for kind in ("u2", "u1"):
    image = np.array([0, 1000, 65535, 65535] if kind == "u2" else [0, 100, 255, 255], kind)
    seen = {}
    for name, fill in (("plain", None), ("without fill value", False)):
        with netCDF4.Dataset("image.nc", "w") as file:
            file.createDimension("pixel", 4)
            file.createVariable("image", kind, ("pixel",), fill_value=fill)[:] = image
        with netCDF4.Dataset("image.nc") as file:
            assert file["image"].ncattrs() == []
            seen[name] = hidden(file["image"]), file["image"][:].max()
        assert np.array_equal(xarray.open_dataset("image.nc", engine="h5netcdf")["image"], image)
    with h5py.File("image.h5", "w") as file:
        file["image"] = image
    with netCDF4.Dataset("image.h5") as file:
        seen["HDF5 by h5py"] = hidden(file["image"]), file["image"][:].max()
    with h5py.File("image.h5") as file:
        assert np.array_equal(file["image"][:], image)
    for name, (masked, top) in seen.items():
        print(f"seen: {image.dtype}, {name}: {masked} of 4 pixels masked, maximum {top} (stored {image.max()})")
    masked = [count for count, _ in seen.values()]
    assert masked == ([2, 2, 2] if kind == "u2" else [2, 0, 0])
EOF
