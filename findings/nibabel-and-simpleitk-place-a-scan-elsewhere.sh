#!/usr/bin/env bash
# Expected: a NIfTI file with two placements, the scanner's (qform, code 1) and
# one in a template's space (sform, code 4), as registration tools leave it, lies
# in the template's space for both readers; nibabel and SimpleITK differ by the
# known change from RAS to LPS and by nothing else.
#
# What happens: nibabel takes the sform whenever its code is not 0. SimpleITK
# takes the qform, unless the sform's code is exactly 1, silently. Sampled at the
# same point of the world the two see different tissue. With codes 1 and 1 they
# agree, so a test on such a file does not notice.
#
# Version: nibabel 5.4.2, SimpleITK 2.5.7.
# Matters to: pipelines that resample with one library and crop, label or mask
# with the other; image and label map of one person come apart by centimetres.
# Source: nibabel.nifti1.Nifti1Header.get_best_affine; in ITK
# NiftiImageIO::SetImageIOOrientationFromNIfTI.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'nibabel==5.4.2' 'SimpleITK==2.5.7' 'numpy==2.4.6'
cd "$dir"
venv/bin/python -W ignore - <<'EOF'
import nibabel as nib, numpy as np, SimpleITK as sitk

print("guess: both readers place voxel (0,0,0) at one point of the world, that of the sform")
print("versions: nibabel", nib.__version__, "SimpleITK", sitk.__version__)
angle = np.deg2rad(20)
turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
scanner, template = np.diag([2.0, 2, 2, 1]), np.eye(4)
scanner[:3, 3] = -10, -20, 5
template[:3, :3] = 2 * np.array(turn)
template[:3, 3] = 40, 50, 60

def places(sform_code, qform_code):
    image = nib.Nifti1Image(np.zeros((5, 6, 7), np.int16), None)
    image.set_qform(scanner, qform_code)
    image.set_sform(template, sform_code)
    nib.save(image, "scan.nii")
    one = nib.load("scan.nii").affine[:3, 3]
    other = np.array(sitk.ReadImage("scan.nii").TransformIndexToPhysicalPoint((0, 0, 0)))
    return one, other * (-1, -1, 1)  # LPS to RAS

for sform_code, qform_code in [(1, 1), (1, 2), (2, 1), (4, 1), (4, 4)]:
    one, other = places(sform_code, qform_code)
    apart = np.linalg.norm(one - other)
    print(f"seen: sform {sform_code}, qform {qform_code}: nibabel {one.round(1)}, "
          f"SimpleITK {other.round(1)}, {apart:.0f} mm apart")
    assert np.allclose(one, template[:3, 3])
    assert np.allclose(other, (template if sform_code == 1 else scanner)[:3, 3])
EOF
