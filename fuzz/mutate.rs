//! Changes of bytes.

/// A generator whose numbers are those of its seed everywhere: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number in `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n.max(1) as u64) as usize
    }

    /// One of some things.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }
}

/// Numbers at which something changes.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    256,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x00ff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 40,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX - 1,
    u64::MAX,
];

/// What stands in texts where something changes.
const TEXTS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "3",
    "0.5",
    "1e308",
    "1e309",
    "-1e-400",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "NA",
    "null",
    "true",
    "false",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "4294967296",
    "4294967295",
    "1000000",
    "99999999999",
    "",
    "\"",
    "\"\"",
    "'",
    "\\",
    "\\u0000",
    "\\ud800",
    "[",
    "]",
    "{",
    "}",
    "[[",
    "{}",
    "[]",
    "(",
    ")",
    ",",
    ";",
    "\t",
    "|",
    ":",
    "=",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    " ",
    "#",
    "%",
    "//",
    "..",
    "../..",
    "/",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "é",
    "𝔸",
    "id",
    "labels",
    "&a",
    "*a",
    "<<",
    "---",
    "!!",
    "? ",
    "- ",
];

/// What begins files, so that one is taken for another.
const MAGIC: &[&[u8]] = &[
    b"\x93NUMPY",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b\x08",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\0",
    b"MM\0*",
    b"PAR1",
    b"ARROW1",
    b"FEA1",
    b"\x89HDF\r\n\x1a\n",
    b"MATLAB 5.0 MAT-file",
    b"n+1\0",
    b"n+2\0",
    b"\x80\x02",
    b"\x00\x00\x08\x03",
    b"\xd0\xcf\x11\xe0",
    b"TREE",
    b"SNOD",
    b"HEAP",
    b"OHDR",
    b"FRHP",
    b"GCOL",
    b"IHDR",
    b"IDAT",
    b"IEND",
    b"PLTE",
    b"tRNS",
];

/// Changes bytes in one to eight places; `others` lend some of theirs.
pub fn change(bytes: &mut Vec<u8>, others: &[&[u8]], random: &mut Random) {
    let most = if bytes.len() > 1 << 20 { bytes.len() } else { 1 << 20 };
    let times = 1 + [0, 0, 0, 1, 1, 2, 3, 7][random.below(8)];
    for _ in 0..times {
        once(bytes, others, random);
        bytes.truncate(most);
    }
}

fn once(bytes: &mut Vec<u8>, others: &[&[u8]], random: &mut Random) {
    let n = bytes.len();
    // Headers and ends matter most.
    let at = match random.below(4) {
        0 => random.below(n.min(64)),
        1 => n - random.below(n.min(64)).min(n),
        _ => random.below(n),
    };
    let length = match random.below(3) {
        0 => 1 + random.below(4),
        1 => 1 + random.below(32),
        _ => 1 + random.below(n.max(1)),
    };
    let end = (at + length).min(n);
    match random.below(14) {
        0 if at < n => bytes[at] ^= 1 << random.below(8),
        1 if at < n => bytes[at] = random.draw() as u8,
        2 if at < n => bytes[at] = random.pick(NUMBERS) as u8,
        3 | 4 => {
            let width = random.pick(&[2, 4, 8]);
            let number = match random.below(4) {
                // The length of what there is, and about that.
                0 => (n as u64).wrapping_add(random.below(9) as u64).wrapping_sub(4),
                _ => random.pick(NUMBERS),
            };
            let little = number.to_le_bytes();
            let big = number.to_be_bytes();
            let value = if random.below(2) == 0 { &little[..width] } else { &big[8 - width..] };
            if let Some(place) = bytes.get_mut(at..at + width) {
                place.copy_from_slice(value);
            }
        }
        5 => drop(bytes.drain(at.min(end)..end)),
        6 => {
            let piece = bytes[at.min(end)..end].to_vec();
            insert(bytes, at, &piece);
        }
        7 => {
            let (to, piece) = (random.below(n), bytes[at.min(end)..end].to_vec());
            let end = (to + piece.len()).min(n);
            bytes[to.min(end)..end].copy_from_slice(&piece[..end - to.min(end)]);
        }
        8 => bytes.truncate(at),
        9 => insert(bytes, at, random.pick(TEXTS).as_bytes()),
        10 => number(bytes, at, random),
        11 => {
            let other: &[u8] = if others.is_empty() { &[] } else { random.pick(others) };
            let from = random.below(other.len());
            let to = (from + 1 + random.below(64)).min(other.len());
            match random.below(2) {
                0 => insert(bytes, at, &other[from..to]),
                // The rest of the other.
                _ => {
                    bytes.truncate(at);
                    bytes.extend(&other[from..]);
                }
            }
        }
        12 => line(bytes, at, random),
        _ => insert(bytes, at, random.pick(MAGIC)),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(bytes.len());
    bytes.splice(at..at, piece.iter().copied());
}

/// Puts another number, or another word, in place of digits at or after a place.
fn number(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let digit = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let Some(start) = bytes.iter().skip(at).position(digit).map(|i| i + at) else { return };
    let end =
        bytes[start..].iter().position(|byte| !digit(byte)).map_or(bytes.len(), |i| start + i);
    let text = random.pick(TEXTS).as_bytes();
    bytes.splice(start..end, text.iter().copied());
}

/// Removes or doubles the line at a place.
fn line(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let at = at.min(bytes.len());
    let start = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |i| i + 1);
    let end =
        bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |i| at + i + 1);
    let piece = bytes[start..end].to_vec();
    match random.below(2) {
        0 => drop(bytes.drain(start..end)),
        _ => insert(bytes, start, &piece),
    }
}
