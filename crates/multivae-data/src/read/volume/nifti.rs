//! NIfTI-1 and NIfTI-2, the formats of neuroimaging: the header of a file, and its values.
//!
//! It is read here and not by a library, since values have to be exact: a stored number times the
//! slope plus the intercept in double precision, and the stored number itself where these are 1 and
//! 0. No more memory is taken than the header asks for, which the file has to have.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use multivae_core::schema::Dtype;

use super::orientation::Orientation;
use crate::{
    error::{DataError, Result},
    read::{format::ends, name},
};

const FORMAT: &str = "NIfTI";
/// Lengths of the headers of both versions.
const LENGTHS: [usize; 2] = [348, 540];
/// Codes of what values mean.
const LABELS: i32 = 1002;

/// What a file says of its volume.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// The file that was opened.
    pub(super) path: PathBuf,
    /// The file that has the values.
    data: PathBuf,
    big: bool,
    offset: u64,
    kind: Kind,
    /// Extents along x, y and z, of which x is the fastest.
    pub(super) extents: [usize; 3],
    /// Volumes on the fourth or fifth axis.
    pub(super) channels: usize,
    /// Slope and intercept, unless values are as they are stored.
    scale: Option<(f64, f64)>,
    /// Where the axes point to, if the file says it.
    pub(super) orientation: Option<Orientation>,
    /// Whether values are said to be classes.
    pub(super) labels: bool,
}

/// The type of stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Kind {
    /// By its code; or what values of the code are.
    fn of(code: i32) -> Result<Self, &'static str> {
        Ok(match code {
            2 => Self::U8,
            256 => Self::I8,
            512 => Self::U16,
            4 => Self::I16,
            768 => Self::U32,
            8 => Self::I32,
            1280 => Self::U64,
            1024 => Self::I64,
            16 => Self::F32,
            64 => Self::F64,
            32 | 1792 | 2048 => return Err("complex numbers"),
            128 | 2304 => return Err("colours"),
            1536 => return Err("floats of 128 bits"),
            1 => return Err("single bits"),
            _ => return Err("of an unknown type"),
        })
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::U8 => Dtype::U8,
            Self::I8 => Dtype::I8,
            Self::U16 => Dtype::U16,
            Self::I16 => Dtype::I16,
            Self::U32 => Dtype::U32,
            Self::I32 => Dtype::I32,
            Self::U64 => Dtype::U64,
            Self::I64 => Dtype::I64,
            Self::F32 => Dtype::F32,
            Self::F64 => Dtype::F64,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Stored values as numbers.
    fn numbers(self, bytes: &[u8], big: bool) -> Vec<f64> {
        macro_rules! each {
            ($type:ty, $size:literal) => {{
                let number = |bytes: &[u8; $size]| {
                    if big {
                        <$type>::from_be_bytes(*bytes)
                    } else {
                        <$type>::from_le_bytes(*bytes)
                    }
                };
                bytes.as_chunks::<$size>().0.iter().map(|bytes| number(bytes) as f64).collect()
            }};
        }
        match self {
            Self::U8 => bytes.iter().map(|&byte| f64::from(byte)).collect(),
            Self::I8 => bytes.iter().map(|&byte| f64::from(byte as i8)).collect(),
            Self::U16 => each!(u16, 2),
            Self::I16 => each!(i16, 2),
            Self::U32 => each!(u32, 4),
            Self::I32 => each!(i32, 4),
            Self::U64 => each!(u64, 8),
            Self::I64 => each!(i64, 8),
            Self::F32 => each!(f32, 4),
            Self::F64 => each!(f64, 8),
        }
    }
}

/// Fields of a header at places in its bytes.
struct Fields<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Fields<'_> {
    fn at<const N: usize>(&self, place: usize) -> [u8; N] {
        let mut bytes: [u8; N] =
            self.bytes[place..place + N].try_into().expect("a header has as many bytes");
        if self.big {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, place: usize) -> i64 {
        i64::from(i16::from_le_bytes(self.at(place)))
    }

    fn i32(&self, place: usize) -> i32 {
        i32::from_le_bytes(self.at(place))
    }

    fn i64(&self, place: usize) -> i64 {
        i64::from_le_bytes(self.at(place))
    }

    fn f32(&self, place: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.at(place)))
    }

    fn f64(&self, place: usize) -> f64 {
        f64::from_le_bytes(self.at(place))
    }
}

/// The fields that are read, of either version.
struct Raw {
    single: bool,
    dim: [i64; 8],
    kind: i32,
    bits: i64,
    pixdim: [f64; 8],
    offset: f64,
    slope: f64,
    inter: f64,
    qform: i32,
    sform: i32,
    /// b, c, d and the offset.
    quaternion: [f64; 6],
    rows: [[f64; 4]; 3],
    intent: i32,
}

impl Raw {
    fn first(fields: &Fields) -> Self {
        Self {
            single: fields.bytes[344..347] == *b"n+1",
            dim: std::array::from_fn(|axis| fields.i16(40 + 2 * axis)),
            intent: fields.i16(68) as i32,
            kind: fields.i16(70) as i32,
            bits: fields.i16(72),
            pixdim: std::array::from_fn(|axis| fields.f32(76 + 4 * axis)),
            offset: fields.f32(108),
            slope: fields.f32(112),
            inter: fields.f32(116),
            qform: fields.i16(252) as i32,
            sform: fields.i16(254) as i32,
            quaternion: std::array::from_fn(|i| fields.f32(256 + 4 * i)),
            rows: std::array::from_fn(|row| {
                std::array::from_fn(|column| fields.f32(280 + 16 * row + 4 * column))
            }),
        }
    }

    fn second(fields: &Fields) -> Self {
        Self {
            single: fields.bytes[4..7] == *b"n+2",
            kind: fields.i16(12) as i32,
            bits: fields.i16(14),
            dim: std::array::from_fn(|axis| fields.i64(16 + 8 * axis)),
            pixdim: std::array::from_fn(|axis| fields.f64(104 + 8 * axis)),
            offset: fields.i64(168) as f64,
            slope: fields.f64(176),
            inter: fields.f64(184),
            qform: fields.i32(344),
            sform: fields.i32(348),
            quaternion: std::array::from_fn(|i| fields.f64(352 + 8 * i)),
            rows: std::array::from_fn(|row| {
                std::array::from_fn(|column| fields.f64(400 + 32 * row + 8 * column))
            }),
            intent: fields.i32(504),
        }
    }
}

/// Whether a file is called as a volume, or as the header or the values of one.
pub(super) fn is_called(path: &Path) -> bool {
    ends(path, &["nii", "hdr", "img"], true)
}

/// The name of a volume: its file's without the extensions.
pub(super) fn stem(path: &Path) -> String {
    let name = name(path);
    let lower = name.to_ascii_lowercase();
    let plain = lower.strip_suffix(".gz").unwrap_or(&lower);
    let end = [".nii", ".hdr", ".img"].into_iter().find_map(|end| plain.strip_suffix(end));
    name[..end.map_or(name.len(), str::len)].to_owned()
}

/// The file beside one of a pair that ends in `.hdr` or `.img`.
pub(super) fn other_of_pair(path: &Path, end: &str) -> Option<PathBuf> {
    let stem = stem(path);
    let beside = |name: String| Some(path.with_file_name(name)).filter(|path| path.exists());
    beside(format!("{stem}.{end}")).or_else(|| beside(format!("{stem}.{end}.gz")))
}

impl Header {
    /// Reads the header of a volume, by either name of a pair.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let malformed = |reason: String| malformed(path, reason);
        let other = |end: &str, what: &str| {
            let missing =
                || malformed(format!("expected its {what} `{}.{end}` beside it", stem(path)));
            other_of_pair(path, end).ok_or_else(missing)
        };
        let (header, data) = if ends(path, &["img"], true) {
            (other("hdr", "header")?, path.to_owned())
        } else if ends(path, &["hdr"], true) {
            (path.to_owned(), other("img", "values")?)
        } else {
            (path.to_owned(), path.to_owned())
        };
        let mut bytes = Vec::new();
        unpacked(&header)?
            .take(LENGTHS[1] as u64)
            .read_to_end(&mut bytes)
            .map_err(|cause| failed(&header, cause))?;
        let length = |big: bool| (bytes.len() >= 4).then(|| Fields { bytes: &bytes, big }.i32(0));
        let known = |length: Option<i32>| {
            LENGTHS.iter().position(|&known| length.is_some_and(|length| length as usize == known))
        };
        let (version, big) = match (known(length(false)), known(length(true))) {
            (Some(version), _) => (version, false),
            (_, Some(version)) => (version, true),
            _ if bytes.len() < LENGTHS[0] => {
                return Err(malformed(format!(
                    "expected a header of {} bytes, found {} bytes",
                    LENGTHS[0],
                    bytes.len()
                )));
            }
            _ => {
                return Err(malformed(format!(
                    "expected a header that begins with its length, {} or {}, found {}",
                    LENGTHS[0],
                    LENGTHS[1],
                    length(false).unwrap_or_default()
                )));
            }
        };
        if bytes.len() < LENGTHS[version] {
            let (expected, found) = (LENGTHS[version], bytes.len());
            let reason = format!("expected a header of {expected} bytes, found {found} bytes");
            return Err(malformed(reason));
        }
        let magic = if version == 0 { &bytes[344..348] } else { &bytes[4..8] };
        let right: [&[u8; 4]; 2] =
            if version == 0 { [b"n+1\0", b"ni1\0"] } else { [b"n+2\0", b"ni2\0"] };
        if !right.iter().any(|right| *right == magic) {
            let found = String::from_utf8_lossy(magic).replace('\0', "");
            return Err(malformed(format!(
                "expected the mark of NIfTI-{}, found `{found}`; a header of Analyze 7.5 has none: \
                 convert the file",
                version + 1
            )));
        }
        let fields = Fields { bytes: &bytes, big };
        let raw = if version == 0 { Raw::first(&fields) } else { Raw::second(&fields) };
        raw.header(path, data, big, LENGTHS[version])
    }

    /// The type of the values.
    pub(super) fn dtype(&self) -> Dtype {
        if self.scale.is_some() { Dtype::F64 } else { self.kind.dtype() }
    }

    /// Values of the file.
    pub(super) fn len(&self) -> usize {
        self.extents.iter().product::<usize>() * self.channels
    }

    /// Bytes of memory for the values, at most.
    pub(super) fn memory(&self) -> u64 {
        let bytes = match self.dtype() {
            Dtype::F64 | Dtype::I64 | Dtype::U64 | Dtype::I32 | Dtype::U32 => 8,
            _ => 4,
        };
        bytes * self.len() as u64
    }

    /// Shape of a row.
    pub(super) fn shape(&self) -> [usize; 4] {
        let [x, y, z] = self.extents;
        [self.channels, z, y, x]
    }

    /// All values, of the shape [`Self::shape`], scaled.
    pub(super) fn values(&self) -> Result<Vec<f64>> {
        let needed = (self.len() * self.kind.size()) as u64;
        let short = |found: u64| {
            malformed(
                &self.data,
                format!(
                    "its header says {self} from byte {} on, which are {needed} bytes; found \
                     {found} bytes",
                    self.offset
                ),
            )
        };
        let mut reader = unpacked(&self.data)?;
        let skipped = io::copy(&mut reader.by_ref().take(self.offset), &mut io::sink())
            .map_err(|cause| failed(&self.data, cause))?;
        if skipped < self.offset {
            return Err(short(0));
        }
        let mut bytes = Vec::new();
        reader.take(needed).read_to_end(&mut bytes).map_err(|cause| failed(&self.data, cause))?;
        if (bytes.len() as u64) < needed {
            return Err(short(bytes.len() as u64));
        }
        let mut values = self.kind.numbers(&bytes, self.big);
        if let Some((slope, inter)) = self.scale {
            values.iter_mut().for_each(|value| *value = *value * slope + inter);
        }
        Ok(values)
    }
}

/// What the header says of the values.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.extents;
        write!(f, "{x}x{y}x{z}")?;
        if self.channels > 1 {
            write!(f, "x{}", self.channels)?;
        }
        write!(f, " values of {}", self.kind.dtype())
    }
}

impl Raw {
    fn header(self, path: &Path, data: PathBuf, big: bool, length: usize) -> Result<Header> {
        let malformed = |reason: String| malformed(path, reason);
        let kind = Kind::of(self.kind).map_err(|what| DataError::Type {
            path: path.display().to_string(),
            expected: "integers or floats of 8 to 64 bits",
            found: format!("{what}, code {}", self.kind),
        })?;
        if self.bits != 8 * kind.size() as i64 {
            let (type_, bits) = (kind.dtype(), 8 * kind.size());
            let found = self.bits;
            return Err(malformed(format!(
                "its header says values of {type_}, which have {bits} bits, and {found} bits"
            )));
        }
        let [axes, dim @ ..] = self.dim;
        let axes = usize::try_from(axes).ok().filter(|axes| (1..=7).contains(axes));
        let axes =
            axes.ok_or_else(|| malformed(format!("expected 1 to 7 axes, found {}", self.dim[0])))?;
        let mut extents = [1usize; 7];
        for (axis, extent) in extents.iter_mut().enumerate().take(axes) {
            *extent =
                usize::try_from(dim[axis]).ok().filter(|&extent| extent > 0).ok_or_else(|| {
                    malformed(format!(
                        "axis {axis} has the extent {}; expected 1 or more",
                        dim[axis]
                    ))
                })?;
        }
        let size = extents.iter().try_fold(kind.size(), |size, &extent| size.checked_mul(extent));
        if size.is_none_or(|size| size as u64 >= 1 << 48) {
            let reason =
                format!("its header says {:?} values of {}", &extents[..axes], kind.dtype());
            return Err(malformed(format!("{reason}, more than any file has")));
        }
        let [x, y, z, t, u, v, w] = extents;
        // Vectors lie on the fifth axis, series on the fourth.
        if (t > 1 && u > 1) || v > 1 || w > 1 {
            return Err(DataError::Shape {
                modality: stem(path),
                path: path.into(),
                expected: "one axis beside x, y and z, on which its channels lie".into(),
                found: format!("{:?}", &extents[..axes]),
            });
        }
        // NaN and infinities too; then the intercept says nothing.
        let scaled = self.slope != 0.0 && self.slope.is_finite();
        if scaled && !self.inter.is_finite() {
            return Err(malformed(format!(
                "expected a finite intercept beside the slope {}, found {}",
                self.slope, self.inter
            )));
        }
        let scale = Some((self.slope, self.inter)).filter(|scale| scaled && *scale != (1.0, 0.0));
        let least = if self.single { length + 4 } else { 0 };
        let offset = if self.single && self.offset == 0.0 { least as f64 } else { self.offset };
        if !(offset >= least as f64 && offset.fract() == 0.0 && offset < 1e15) {
            return Err(malformed(format!(
                "expected values from byte {least} on or later, found byte {offset}"
            )));
        }
        let orientation = self.orientation().map_err(malformed)?;
        Ok(Header {
            path: path.into(),
            data,
            big,
            offset: offset as u64,
            kind,
            extents: [x, y, z],
            channels: t * u,
            scale,
            orientation,
            labels: self.intent == LABELS,
        })
    }

    /// By the matrix, or else by the quaternion.
    fn orientation(&self) -> Result<Option<Orientation>, String> {
        if self.sform > 0 {
            return Orientation::of(self.rows).map(Some);
        }
        if self.qform <= 0 {
            return Ok(None);
        }
        let [b, c, d, offset @ ..] = self.quaternion;
        let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
        let turn = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        let handed = if self.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
        let sizes = [self.pixdim[1], self.pixdim[2], handed * self.pixdim[3]];
        let row = |row: usize| {
            let [x, y, z] = std::array::from_fn(|axis| turn[row][axis] * sizes[axis]);
            [x, y, z, offset[row]]
        };
        Orientation::of(std::array::from_fn(row)).map(Some)
    }
}

fn malformed(path: &Path, reason: String) -> DataError {
    DataError::Malformed { path: path.into(), format: FORMAT, reason }
}

/// A file that ends or breaks while it is read.
fn failed(path: &Path, cause: io::Error) -> DataError {
    match cause.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            DataError::Malformed {
                path: path.into(),
                format: "gzip",
                reason: format!("expected whole members, found one that is broken off: {cause}"),
            }
        }
        _ => DataError::Read { path: path.into(), cause },
    }
}

/// The contents of a file, all members of it if it is packed.
fn unpacked(path: &Path) -> Result<Box<dyn Read>> {
    let read = |cause| DataError::Read { path: path.into(), cause };
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(read)?);
    let start = reader.fill_buf().map_err(read)?;
    if start.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no bytes" });
    }
    Ok(match start.starts_with(&[0x1f, 0x8b]) {
        true => Box::new(MultiGzDecoder::new(reader)),
        false => Box::new(reader),
    })
}
