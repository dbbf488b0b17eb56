//! `multivae data get` and `multivae data make`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Error, Result};
use md5::{Digest, Md5};
use multivae::{
    data::research::{self, Checksum, Download, MakeConfig, ResearchSet},
    run::files::{self, NewFolder},
};
use sha2::Sha256;
use ureq::Agent;
use zip::ZipArchive;

use crate::{
    arguments::{GetArguments, MakeArguments},
    failure::{Outcome, bad_input},
    progress::Bar,
    terminal::print_out,
};

/// How often a transfer that breaks is taken up again where nothing more of it has come.
const TRIES: usize = 4;
/// The end of the name of a file that is not whole yet.
const PART: &str = ".part";

/// Brings the files of a published set into a folder.
pub(crate) fn get(arguments: &GetArguments) -> Result<Outcome> {
    let GetArguments { name, to, mirror } = arguments;
    let set = research::research().iter().find(|set| set.name == name).ok_or_else(|| {
        let known: Vec<_> =
            research::research().iter().map(|set| format!("`{}`", set.name)).collect();
        bad_input(format!("no published set is called `{name}`; known are {}", known.join(", ")))
    })?;
    if let Some(how) = set.by_hand() {
        return Err(bad_input(format!(
            "`{name}` has no address that a program can use: get it {how}, so that `{}` holds {}, and \
             use it as `--data {name}:{}`",
            to.display(),
            set.layout,
            to.display()
        )));
    }
    fs::create_dir_all(to).with_context(|| format!("`{}` cannot be made", to.display()))?;
    for file in set.downloads() {
        bring(set, file, to, mirror.as_deref())?;
    }
    print_out(format!("use it as `--data {name}:{}`", to.display()))?;
    Ok(Outcome::Done)
}

/// Makes a set like a published one.
pub(crate) fn make(arguments: &MakeArguments) -> Result<Outcome> {
    let MakeArguments { name, from, photos, to, modalities, rows, scale, seed } = arguments;
    let making = match (name.as_str(), scale) {
        ("polymnist", None) => research::Making::Polymnist,
        ("polymnist", Some(_)) => {
            return Err(bad_input(
                "`--scale` is of `translated-polymnist`, and this is `polymnist`",
            ));
        }
        ("translated-polymnist", scale) => {
            research::Making::Translated { scale: scale.unwrap_or(0.75) }
        }
        _ => {
            return Err(bad_input(format!(
                "`{name}` cannot be made; `polymnist` and `translated-polymnist` can"
            )));
        }
    };
    files::check_free(to, "choose another folder with `--to`")?;
    let config = MakeConfig { making, modalities: *modalities, rows: *rows, seed: *seed };
    let folder = NewFolder::new(to)?;
    let [train, test] = config.make(from, photos, folder.path())?;
    folder.finish()?;
    print_out(format!("{train} rows for training and {test} to test"))?;
    print_out("photographs and random numbers are not those of the published files")?;
    print_out(format!("use it as `--data polymnist:{}`", to.display()))?;
    Ok(Outcome::Done)
}

/// Brings one file, unless it is there already, and unpacks it if it is an archive.
fn bring(set: &ResearchSet, file: &Download, to: &Path, mirror: Option<&str>) -> Result<()> {
    let place = to.join(file.file);
    let url = match mirror {
        Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), file.file),
        None => file.url.to_owned(),
    };
    if place.exists() {
        check(file, &place, &url)?;
        print_out(format!("{}: it is there already", file.file))?;
    } else {
        let part = to.join(format!("{}{PART}", file.file));
        transfer(set, file, &url, &part)?;
        if let Err(error) = check(file, &part, &url) {
            // What is wrong would be wrong again if it were taken up.
            fs::remove_file(&part).with_context(|| format!("`{}`", part.display()))?;
            return Err(error);
        }
        fs::rename(&part, &place).with_context(|| format!("`{}`", place.display()))?;
        let known = match file.checksum {
            Some(_) => "its checksum is the published one".to_owned(),
            None => format!("no checksum is published; its SHA-256 is {}", sum::<Sha256>(&place)?),
        };
        print_out(format!("{}: {known}", file.file))?;
    }
    if file.unpacked { unpack(&place, to) } else { Ok(()) }
}

/// Refuses a file of another length or checksum than the published ones.
fn check(file: &Download, place: &Path, url: &str) -> Result<()> {
    let wrong = |what: &str, expected: String, found: String| {
        bad_input(format!(
            "`{}` from {url}: expected {what} {expected}, found {found}: it is damaged or another file",
            place.display()
        ))
    };
    let length = fs::metadata(place).with_context(|| format!("`{}`", place.display()))?.len();
    if let Some(bytes) = file.bytes.filter(|&bytes| bytes != length) {
        return Err(wrong("a length of", format!("{bytes} bytes"), length.to_string()));
    }
    let (what, expected, found) = match file.checksum {
        Some(Checksum::Md5(expected)) => ("MD5", expected, sum::<Md5>(place)?),
        Some(Checksum::Sha256(expected)) => ("SHA-256", expected, sum::<Sha256>(place)?),
        _ => return Ok(()),
    };
    if found == expected { Ok(()) } else { Err(wrong(what, expected.to_owned(), found)) }
}

/// The checksum of a file in hexadecimal digits.
fn sum<D: Digest>(path: &Path) -> Result<String> {
    let shown = || format!("`{}` cannot be read", path.display());
    let mut file = File::open(path).with_context(shown)?;
    let (mut digest, mut block) = (D::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut block).with_context(shown)? {
            0 => return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => digest.update(&block[..count]),
        }
    }
}

/// What a server said to a request for the bytes of a file from some place on.
enum Answer {
    /// These bytes follow, of as many in all if that is known, from this place on.
    Bytes(Box<dyn Read>, Option<u64>, u64),
    /// There are no more.
    Whole,
}

/// Brings all bytes of a file into `part`, going on with what is there; a transfer that breaks goes on
/// where it broke.
fn transfer(set: &ResearchSet, file: &Download, url: &str, part: &Path) -> Result<()> {
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .http_status_as_error(false)
        .build()
        .into();
    let bar = Bar::new(file.file);
    let unwritable = || format!("`{}` cannot be written", part.display());
    let mut idle = 0;
    loop {
        let before = fs::metadata(part).map_or(0, |data| data.len());
        let mut expected = file.bytes;
        let broken: Error = match ask(&agent, url, before) {
            Ok(Answer::Whole) => return Ok(()),
            Ok(Answer::Bytes(mut body, all, from)) => {
                expected = all.or(expected);
                let mut options = OpenOptions::new();
                // A server that does not know ranges begins anew.
                options.create(true).write(true).append(from > 0).truncate(from == 0);
                let mut to = options.open(part).with_context(unwritable)?;
                match pour(&mut *body, &mut to, from, expected, &bar) {
                    Ok(()) => return Ok(()),
                    Err(Poured::Write(cause)) => return Err(cause).with_context(unwritable),
                    Err(Poured::Read(cause)) => Error::new(cause),
                }
            }
            Err(Refused::Status(status)) => {
                return Err(bad_input(format!("{url}: the server answers {status}")));
            }
            Err(Refused::Unreachable(cause)) => Error::new(cause),
        };
        let now = fs::metadata(part).map_or(0, |data| data.len());
        idle = if now > before { 0 } else { idle + 1 };
        if idle == TRIES {
            let have = match (now, expected) {
                (0, _) => String::new(),
                (now, Some(all)) => format!(
                    "; {now} of {all} bytes are kept and the rest is asked for when the command is given again"
                ),
                (now, None) => format!(
                    "; {now} bytes are kept and the rest is asked for when the command is given again"
                ),
            };
            return Err(broken.context(format!(
                "{url} cannot be reached{have}; without a network put {} into the folder by hand, or \
                 name another place by `--mirror`",
                set.downloads().iter().map(|file| file.file).collect::<Vec<_>>().join(", ")
            )));
        }
        std::thread::sleep(Duration::from_millis(200 << idle));
    }
}

/// Why a server gave nothing.
enum Refused {
    Status(u16),
    Unreachable(ureq::Error),
}

/// Asks for the bytes of a file from a place on.
fn ask(agent: &Agent, url: &str, from: u64) -> Result<Answer, Refused> {
    // Packed bytes have other places.
    let mut request = agent.get(url).header("accept-encoding", "identity");
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
    }
    let response = request.call().map_err(Refused::Unreachable)?;
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let length = header("content-length").and_then(|length| length.parse::<u64>().ok());
    // `bytes FROM-TO/ALL`, or `bytes */ALL`.
    let range = header("content-range");
    let range = range.as_deref().and_then(|range| range.trim().strip_prefix("bytes "));
    let (part, all) = range.and_then(|range| range.split_once('/')).unwrap_or(("", ""));
    let all: Option<u64> = all.parse().ok();
    let begin = part.split_once('-').and_then(|(begin, _)| begin.parse::<u64>().ok());
    match status {
        200 => Ok(Answer::Bytes(Box::new(response.into_body().into_reader()), length, 0)),
        206 if begin == Some(from) => {
            let all = all.or(length.map(|length| from + length));
            Ok(Answer::Bytes(Box::new(response.into_body().into_reader()), all, from))
        }
        416 if from > 0 && all == Some(from) => Ok(Answer::Whole),
        status => Err(Refused::Status(status)),
    }
}

/// What went wrong between a server and a file.
enum Poured {
    Read(io::Error),
    Write(io::Error),
}

/// Writes what comes, from place `from` of `all` on.
fn pour(
    body: &mut dyn Read,
    to: &mut File,
    from: u64,
    all: Option<u64>,
    bar: &Bar,
) -> Result<(), Poured> {
    let (mut done, mut block) = (from, vec![0; 1 << 16]);
    loop {
        let count = match body.read(&mut block) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Poured::Read(error)),
        };
        if count == 0 {
            break;
        }
        to.write_all(&block[..count]).map_err(Poured::Write)?;
        done += count as u64;
        if let Some(all) = all {
            bar.set(done as f64 / all.max(1) as f64);
        }
    }
    to.sync_all().map_err(Poured::Write)?;
    match all {
        Some(all) if done < all => {
            let found = format!("the transfer ended after {done} of {all} bytes");
            Err(Poured::Read(io::Error::new(io::ErrorKind::UnexpectedEof, found)))
        }
        _ => Ok(()),
    }
}

/// Unpacks an archive into a folder, but for what is there already as long as the archive has it.
fn unpack(archive: &Path, to: &Path) -> Result<()> {
    let shown = || format!("`{}` cannot be unpacked", archive.display());
    let mut zip = ZipArchive::new(File::open(archive).with_context(shown)?).with_context(shown)?;
    let bar = Bar::new("unpacking");
    let all = zip.len();
    for place in 0..all {
        bar.set(place as f64 / all as f64);
        let mut entry = zip.by_index(place).with_context(shown)?;
        let Some(name) = entry.enclosed_name() else {
            let name = entry.name();
            return Err(bad_input(format!(
                "`{}` holds `{name}`, a path out of it",
                archive.display()
            )));
        };
        let out: PathBuf = to.join(name);
        if entry.is_dir() {
            fs::create_dir_all(&out).with_context(shown)?;
            continue;
        }
        if fs::metadata(&out).is_ok_and(|data| data.len() == entry.size()) {
            continue;
        }
        if let Some(folder) = out.parent() {
            fs::create_dir_all(folder).with_context(shown)?;
        }
        files::write_whole(&out, |file| io::copy(&mut entry, file).map(drop))?;
    }
    print_out(format!("{all} entries are unpacked; the archive can be removed"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Cursor},
        net::{TcpListener, TcpStream},
        sync::{Arc, Mutex},
        thread,
    };

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// A server of one file, which breaks its first answers off after so many bytes each.
    struct Server {
        url: String,
        /// From where each request asked on.
        asked: Arc<Mutex<Vec<Option<usize>>>>,
    }

    impl Server {
        fn new(file: &'static str, content: Vec<u8>, breaks: &[usize], ranges: bool) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let url = format!("http://{}", listener.local_addr().expect("bound"));
            let asked = Arc::new(Mutex::new(Vec::new()));
            let breaks: Vec<usize> = breaks.to_vec();
            let (seen, mut breaks) = (Arc::clone(&asked), breaks.into_iter());
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let from = Self::asked(&stream, file);
                    let known = from.is_ok();
                    seen.lock().expect("not poisoned").push(from.ok().flatten());
                    let most = breaks.next().unwrap_or(usize::MAX);
                    let from = from.ok().flatten().filter(|_| ranges);
                    Self::answer(stream, known, &content, from, most);
                }
            });
            Self { url, asked }
        }

        /// From where a request asks on; an error if it is of another file.
        fn asked(stream: &TcpStream, file: &str) -> Result<Option<usize>, ()> {
            let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            let mut from = None;
            for line in lines.take_while(|line| !line.is_empty()) {
                let line = line.to_ascii_lowercase();
                if let Some(range) = line.strip_prefix("range: bytes=") {
                    from = range.trim_end_matches('-').parse().ok();
                }
            }
            if first.starts_with(&format!("GET /{file} ")) { Ok(from) } else { Err(()) }
        }

        fn answer(
            mut stream: TcpStream,
            known: bool,
            content: &[u8],
            from: Option<usize>,
            most: usize,
        ) {
            let all = content.len();
            let head = match (known, from) {
                (false, _) => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
                (true, None) => format!("HTTP/1.1 200 OK\r\ncontent-length: {all}\r\n\r\n"),
                (true, Some(from)) if from >= all => format!(
                    "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */{all}\r\n\
                     content-length: 0\r\n\r\n"
                ),
                (true, Some(from)) => format!(
                    "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{}/{all}\r\n\
                     content-length: {}\r\n\r\n",
                    all - 1,
                    all - from
                ),
            };
            let body = if known { &content[from.unwrap_or(0).min(all)..] } else { &[][..] };
            // Who has seen enough closes the connection.
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body[..body.len().min(most)]);
        }

        fn asked_from(&self) -> Vec<Option<usize>> {
            self.asked.lock().expect("not poisoned").clone()
        }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn set(name: &str) -> &'static ResearchSet {
        research::research().iter().find(|set| set.name == name).expect("there")
    }

    /// 100,000 bytes, none like the next.
    fn content() -> Vec<u8> {
        (0..100_000u32).map(|i| (i * 31 % 251) as u8).collect()
    }

    fn file(checksum: Option<Checksum>) -> Download {
        Download { file: "a.bin", url: "http://nowhere", bytes: None, checksum, unpacked: false }
    }

    #[test]
    fn a_transfer_that_breaks_goes_on_where_it_broke() {
        let to = folder();
        let server = Server::new("a.bin", content(), &[30_000, 0, 20_000], true);
        bring(set("cub"), &file(None), to.path(), Some(&server.url)).expect("whole");
        assert_eq!(fs::read(to.path().join("a.bin")).expect("there"), content());
        let from = server.asked_from();
        assert_eq!(from, [None, Some(30_000), Some(30_000), Some(50_000)]);
        assert!(!to.path().join("a.bin.part").exists());
        // What is there is not asked for again.
        bring(set("cub"), &file(None), to.path(), Some(&server.url)).expect("there");
        assert_eq!(server.asked_from().len(), 4);
        // A server that knows no ranges begins anew.
        let to = folder();
        let server = Server::new("a.bin", content(), &[30_000], false);
        bring(set("cub"), &file(None), to.path(), Some(&server.url)).expect("whole");
        assert_eq!(fs::read(to.path().join("a.bin")).expect("there"), content());
    }

    #[test]
    fn what_was_brought_before_is_kept_for_the_next_time() {
        let to = folder();
        let server = Server::new("a.bin", content(), &[40_000, 0, 0, 0, 0, 0], true);
        let error =
            bring(set("cub"), &file(None), to.path(), Some(&server.url)).expect_err("broken");
        let found = format!("{error:#}");
        assert!(found.contains("40000 of 100000 bytes are kept"), "{found}");
        assert!(!to.path().join("a.bin").exists());
        let server = Server::new("a.bin", content(), &[], true);
        bring(set("cub"), &file(None), to.path(), Some(&server.url)).expect("the rest");
        assert_eq!(server.asked_from(), [Some(40_000)]);
        assert_eq!(fs::read(to.path().join("a.bin")).expect("there"), content());
        // All of it is there but its name.
        let place = to.path().join("a.bin");
        fs::rename(&place, to.path().join("a.bin.part")).expect("there");
        bring(set("cub"), &file(None), to.path(), Some(&server.url)).expect("nothing more");
        assert_eq!(fs::read(&place).expect("there"), content());
    }

    #[test]
    fn a_file_of_another_checksum_or_length_is_not_kept() {
        let server = || Server::new("a.bin", content(), &[], true);
        let sum = "00000000000000000000000000000000";
        let to = folder();
        let wrong = file(Some(Checksum::Md5(sum)));
        let error = bring(set("cub"), &wrong, to.path(), Some(&server().url)).expect_err("wrong");
        let found = error.to_string();
        assert!(found.contains(&format!("expected MD5 {sum}, found ")), "{found}");
        assert_eq!(fs::read_dir(to.path()).expect("there").count(), 0, "nothing is left");
        let short = Download { bytes: Some(100_001), ..file(None) };
        let error = bring(set("cub"), &short, to.path(), Some(&server().url)).expect_err("short");
        assert!(error.to_string().contains("expected a length of 100001 bytes, found 100000"));
        let place = to.path().join("sums");
        fs::write(&place, b"abc").expect("writable");
        let expected = "900150983cd24fb0d6963f7d28e17f72";
        assert_eq!(super::sum::<Md5>(&place).expect("there"), expected);
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::sum::<Sha256>(&place).expect("there"), right);
        let right =
            Download { file: "sums", bytes: Some(3), ..file(Some(Checksum::Md5(expected))) };
        bring(set("cub"), &right, to.path(), None).expect("it is there and right");
    }

    #[test]
    fn an_archive_is_unpacked_and_a_path_out_of_it_refused() {
        let zip = |name: &str| {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            zip.start_file(name, SimpleFileOptions::default()).expect("memory takes it");
            zip.write_all(b"captions").expect("memory takes it");
            zip.finish().expect("memory takes it").into_inner()
        };
        let get = |content: Vec<u8>, to: &Path| {
            let server = Server::new("level5.zip", content, &[50], true);
            let arguments = GetArguments {
                name: "cdsprites".into(),
                to: to.join("set"),
                mirror: Some(server.url.clone() + "/"),
            };
            get(&arguments)
        };
        let to = folder();
        get(zip("level5/traindata.h5"), to.path()).expect("whole");
        let inside = to.path().join("set/level5/traindata.h5");
        assert_eq!(fs::read(inside).expect("unpacked"), b"captions");
        let to = folder();
        let error = get(zip("../../out"), to.path()).expect_err("out of it");
        assert!(error.to_string().contains("a path out of it"), "{error}");
        assert!(!to.path().join("out").exists());
    }

    #[test]
    fn what_cannot_be_had_is_said_with_what_to_do() {
        let to = folder();
        let arguments = |name: &str, mirror: &str| GetArguments {
            name: name.into(),
            to: to.path().join("set"),
            mirror: Some(mirror.into()),
        };
        let server = Server::new("other", content(), &[], true);
        let error = get(&arguments("cub", &server.url)).expect_err("not there");
        assert!(error.to_string().ends_with("/cub.zip: the server answers 404"), "{error}");
        let error = get(&arguments("mhd", "")).expect_err("by hand").to_string();
        assert!(error.contains("has no address that a program can use: get it as https://"));
        assert!(error.contains("mhd_train.pt"), "{error}");
        let error = get(&arguments("mnist", "")).expect_err("unknown").to_string();
        assert!(error.contains("known are `polymnist`, `mnist-labels`"), "{error}");
        // A port on which nothing listens any more.
        let gone = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", gone.local_addr().expect("bound"));
        drop(gone);
        let error = format!("{:#}", get(&arguments("mnist-labels", &url)).expect_err("offline"));
        assert!(error.contains("cannot be reached; without a network put train-images"), "{error}");
        assert!(error.contains("t10k-labels-idx1-ubyte.gz into the folder by hand"), "{error}");
    }
}
