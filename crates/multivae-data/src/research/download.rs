//! Where published files can be had, and how they are known to be whole.

use super::ResearchSet;

/// What a file is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checksum {
    /// MD5 in hexadecimal digits.
    Md5(&'static str),
    /// SHA-256 in hexadecimal digits.
    Sha256(&'static str),
}

/// A file of a published set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its name in the folder of the set.
    pub file: &'static str,
    /// Its public address.
    pub url: &'static str,
    /// Its length in bytes, where it is published.
    pub bytes: Option<u64>,
    /// Its checksum, where one is published.
    pub checksum: Option<Checksum>,
    /// Whether it is an archive ZIP that is unpacked into the folder.
    pub unpacked: bool,
}

const fn whole(file: &'static str, url: &'static str, bytes: u64, md5: &'static str) -> Download {
    let (bytes, checksum) = (Some(bytes), Some(Checksum::Md5(md5)));
    Download { file, url, bytes, checksum, unpacked: false }
}

const fn archive(file: &'static str, url: &'static str) -> Download {
    Download { file, url, bytes: None, checksum: None, unpacked: true }
}

/// MNIST, whose checksums are those of torchvision.
const MNIST: [Download; 4] = [
    whole(
        "train-images-idx3-ubyte.gz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
        9_912_422,
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ),
    whole(
        "train-labels-idx1-ubyte.gz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
        28_881,
        "d53e105ee54ea40749a09fcbcd1e9432",
    ),
    whole(
        "t10k-images-idx3-ubyte.gz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
        1_648_877,
        "9fb629c4189551a2d022fa330f9573f3",
    ),
    whole(
        "t10k-labels-idx1-ubyte.gz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
        4_542,
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
];

/// MNIST and SVHN, whose checksums are those of torchvision too.
const MNIST_SVHN: [Download; 6] = [
    MNIST[0],
    MNIST[1],
    MNIST[2],
    MNIST[3],
    whole(
        "train_32x32.mat",
        "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
        182_040_794,
        "e26dedcc434d2e4c54c9b2d4a06d8373",
    ),
    whole(
        "test_32x32.mat",
        "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
        64_275_384,
        "eb5a983be6a315427106f1b164d9cef3",
    ),
];

const POLYMNIST: [Download; 1] =
    [archive("PolyMNIST.zip", "https://zenodo.org/record/4899160/files/PolyMNIST.zip")];

const CUB: [Download; 1] =
    [archive("cub.zip", "http://www.robots.ox.ac.uk/~yshi/mmdgm/datasets/cub.zip")];

/// The fifth level, which has all attributes.
const CDSPRITES: [Download; 1] = [archive(
    "level5.zip",
    "https://data.ciirc.cvut.cz/public/groups/incognite/CdSprites/level5.zip",
)];

impl ResearchSet {
    /// Its files that have a public address; none where it has to be asked for or lies behind a page.
    pub fn downloads(&self) -> &'static [Download] {
        match self.name {
            "mnist-labels" => &MNIST,
            "mnist-svhn" | "mnist-svhn-text" => &MNIST_SVHN,
            "polymnist" => &POLYMNIST,
            "cub" => &CUB,
            "cdsprites" => &CDSPRITES,
            _ => &[],
        }
    }

    /// Where it can be had, if it has no address that a program can use.
    pub fn by_hand(&self) -> Option<&'static str> {
        match self.name {
            "celeba" | "celeba-40" => Some(
                "from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html: img_align_celeba.zip, \
                 list_attr_celeba.txt and list_eval_partition.txt",
            ),
            "mhd" => Some("as https://github.com/miguelsvasco/nexus_pytorch says"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::research;

    #[test]
    fn every_set_can_be_had_by_an_address_or_by_hand() {
        for set in research() {
            assert!(set.downloads().is_empty() == set.by_hand().is_some(), "{}", set.name);
            for file in set.downloads() {
                assert!(file.url.ends_with(file.file), "{}", file.url);
                assert_eq!(file.unpacked, file.file.ends_with(".zip"));
                if let Some(Checksum::Md5(sum)) = file.checksum {
                    assert!(sum.len() == 32 && sum.bytes().all(|b| b.is_ascii_hexdigit()));
                }
            }
        }
    }
}
