//! What is said to clients, in the words of HTTP/1.1.
//!
//! Heads are parsed by `httparse`. Each connection has a small thread, which waits for bytes and for
//! the answer and computes nothing; every wait has an end. Bodies have a length that is said before
//! them, so that it is known what is too large before it is read.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use super::{refusal::Refusal, request::Form};

/// How long the head of a request may take, and how long a connection is kept without one.
const HEAD: Duration = Duration::from_secs(20);
/// How often a connection without a request looks whether the service ends.
const LOOK: Duration = Duration::from_millis(250);
/// How long an answer may wait until its reader takes it, and the bytes a second that it has to take
/// of one that is long.
const STUCK: Duration = Duration::from_secs(20);
const SLOWEST: u64 = 64 << 10;
/// Bytes and fields of the head of a request at most.
const LONGEST: usize = 32 << 10;
const FIELDS: usize = 64;
/// How much of a body that is too large is read, in limits, so that its sender can hear why.
const BEYOND: u64 = 4;
/// How long a client that was refused may go on to send.
const LEAVE: Duration = Duration::from_secs(2);
/// What the page may load: its own parts, and pictures that it has made.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data: blob:; connect-src 'self'; form-action 'none'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The head of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) host: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) accept: Option<String>,
    /// Bytes of the body.
    length: u64,
    /// Whether the client waits to be told to send the body.
    expects: bool,
    /// Whether the connection is kept after the answer.
    keep: bool,
}

impl Head {
    /// The head at the beginning of some bytes, and how many it takes; `None` if it is not whole.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Refusal> {
        let bad = |message: &str| Refusal::new(400, "http", message);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let taken = match request.parse(bytes) {
            Ok(httparse::Status::Complete(taken)) => taken,
            Ok(httparse::Status::Partial) if bytes.len() <= LONGEST => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                let message = format!(
                    "the head of the request: expected at most {LONGEST} bytes and {FIELDS} fields"
                );
                return Err(Refusal::new(431, "head", message));
            }
            Err(error) => return Err(bad(&format!("the head of the request: {error}"))),
        };
        let target = request.path.unwrap_or_default();
        // A proxy says the whole address.
        let target = match target.split_once("://") {
            Some(("http" | "https", rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            _ => target,
        };
        if !target.starts_with('/') {
            return Err(bad("the address: expected a path"));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let mut head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query,
            keep: request.version == Some(1),
            ..Self::default()
        };
        let mut length = None;
        for field in request.headers.iter() {
            let value = String::from_utf8_lossy(field.value).trim().to_owned();
            match field.name.to_ascii_lowercase().as_str() {
                "host" => head.host = Some(value),
                "content-type" => head.content_type = Some(value),
                "accept" => head.accept = Some(value),
                "content-length" => {
                    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                    let found = value.parse::<u64>().ok().filter(|_| digits);
                    let found = found.ok_or_else(|| bad("`Content-Length`: expected a number"))?;
                    if length.is_some_and(|other| other != found) {
                        return Err(bad("`Content-Length`: expected one, found several"));
                    }
                    length = Some(found);
                }
                "transfer-encoding" => {
                    let message = "expected `Content-Length`, found `Transfer-Encoding`";
                    return Err(Refusal::new(411, "length", message));
                }
                "expect" => head.expects = value.eq_ignore_ascii_case("100-continue"),
                "connection" => {
                    let says = |word: &str| {
                        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
                    };
                    head.keep = !says("close") && (head.keep || says("keep-alive"));
                }
                _ => {}
            }
        }
        head.length = length.unwrap_or(0);
        Ok(Some((head, taken)))
    }

    /// Whether the request names this machine, and not a name on the network that leads to it: a page
    /// from elsewhere could ask for a host of its own that has become this one.
    pub(super) fn is_local(&self) -> bool {
        let Some(host) = self.host.as_deref() else { return true };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.parse::<std::net::Ipv4Addr>();
        address.is_ok_and(|address| address.is_loopback())
            || name == "[::1]"
            || name.eq_ignore_ascii_case("localhost")
    }
}

/// What is sent, and as what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    kind: &'static str,
    bytes: Vec<u8>,
    /// Methods that there are, where another was asked for.
    allowed: Option<&'static str>,
}

impl Reply {
    pub(super) fn new(bytes: impl Into<Vec<u8>>, kind: &'static str) -> Self {
        Self { status: 200, kind, bytes: bytes.into(), allowed: None }
    }

    pub(super) fn json(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(bytes, Form::Json.name())
    }

    /// A method that is not the one of a path.
    pub(super) fn method(head: &Head, allowed: &'static str) -> Self {
        let message = format!("`{}`: expected {allowed}, found {}", head.path, head.method);
        let refusal = Refusal::new(405, "method", message);
        Self { allowed: Some(allowed), ..refusal.into() }
    }

    /// The head of the answer.
    fn head(&self, keep: bool) -> String {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            408 => "Request Timeout",
            411 => "Length Required",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            421 => "Misdirected Request",
            422 => "Unprocessable Content",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            _ => "Internal Server Error",
        };
        let mut head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: \
             no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: {POLICY}\r\n",
            self.status,
            self.kind,
            self.bytes.len()
        );
        if let Some(allowed) = self.allowed {
            head += &format!("Allow: {allowed}\r\n");
        }
        if self.status == 503 {
            head += "Retry-After: 1\r\n";
        }
        head + if keep { "\r\n" } else { "Connection: close\r\n\r\n" }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let (status, bytes) = (refusal.status, refusal.body());
        Self { status, kind: Form::Json.name(), bytes, allowed: None }
    }
}

/// A client.
pub(super) struct Client<S = TcpStream> {
    stream: S,
    /// What was read and not yet used.
    read: Vec<u8>,
}

/// A stream whose waits have an end.
pub(super) trait Waits: Read + Write {
    fn read_within(&self, time: Duration) -> io::Result<()>;
    fn write_within(&self, time: Duration) -> io::Result<()>;
    /// Says that nothing more is written.
    fn end(&self) -> io::Result<()>;
}

impl Waits for TcpStream {
    fn read_within(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }

    fn write_within(&self, time: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(time))
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// What became of reading some bytes.
enum Got {
    Some,
    /// Nothing came in time.
    None,
    /// The client has gone.
    End,
}

impl<S: Waits> Client<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Answers requests until the client goes, does not ask any more, or the service ends.
    pub(super) fn answer(
        &mut self,
        ends: &dyn Fn() -> bool,
        mut reply: impl FnMut(&Head, &mut Body<'_, S>) -> Reply,
    ) {
        loop {
            let head = match self.head(ends) {
                Ok(Some(head)) => head,
                Ok(None) => return,
                Err(refusal) => {
                    self.write(&refusal.into(), false, false);
                    return self.leave();
                }
            };
            let mut body = Body { client: self, left: head.length, waits: head.expects };
            let answer = reply(&head, &mut body);
            // What was not read stands before the next request.
            let unread = body.left > 0;
            let keep = head.keep && !unread && !ends();
            let taken = self.write(&answer, keep, head.method == "HEAD");
            if taken && unread {
                return self.leave();
            }
            if !taken || !keep {
                return;
            }
        }
    }

    /// Lets a client that still sends hear its answer: a connection that is closed before all was read
    /// is cut off.
    fn leave(&mut self) {
        let end = Instant::now() + LEAVE;
        if self.stream.end().is_err() {
            return;
        }
        loop {
            self.read.clear();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || matches!(self.fill(left), Got::End) {
                return;
            }
        }
    }

    fn head(&mut self, ends: &dyn Fn() -> bool) -> Result<Option<Head>, Refusal> {
        let end = Instant::now() + HEAD;
        loop {
            if !self.read.is_empty()
                && let Some((head, taken)) = Head::parse(&self.read)?
            {
                self.read.drain(..taken);
                return Ok(Some(head));
            }
            if self.read.is_empty() && ends() {
                return Ok(None);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let late = || Refusal::new(408, "time", "the head of the request takes too long");
                return if self.read.is_empty() { Ok(None) } else { Err(late()) };
            }
            if let Got::End = self.fill(left.min(LOOK)) {
                return Ok(None);
            }
        }
    }

    /// Reads what there is.
    fn fill(&mut self, time: Duration) -> Got {
        let mut buffer = [0; 16 << 10];
        if self.stream.read_within(time.max(Duration::from_millis(1))).is_err() {
            return Got::End;
        }
        match self.stream.read(&mut buffer) {
            Ok(0) => Got::End,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                Got::Some
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Got::None,
                _ => Got::End,
            },
        }
    }

    /// Sends an answer; says whether all of it was taken.
    fn write(&mut self, reply: &Reply, keep: bool, head_only: bool) -> bool {
        let head = reply.head(keep);
        let body = if head_only { &[][..] } else { &reply.bytes };
        let end = Instant::now() + STUCK + Duration::from_secs(body.len() as u64 / SLOWEST);
        // One packet where there is room, so that nothing waits for the other's word.
        let small = body.len() <= LONGEST;
        let first = if small { [head.as_bytes(), body].concat() } else { head.into_bytes() };
        let rest = if small { &[][..] } else { body };
        self.write_until(&first, end) && self.write_until(rest, end)
    }

    fn write_until(&mut self, mut bytes: &[u8], end: Instant) -> bool {
        while !bytes.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.write_within(left).is_err() {
                return false;
            }
            match self.stream.write(bytes) {
                Ok(0) => return false,
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// The body of a request, until it is read.
pub(super) struct Body<'a, S> {
    client: &'a mut Client<S>,
    /// Bytes that are still to come.
    left: u64,
    /// Whether the client waits to be told to send it.
    waits: bool,
}

impl<S: Waits> Body<'_, S> {
    /// All of it, if it is no longer than `most` bytes and there at the end.
    pub(super) fn read(&mut self, most: u64, end: Instant) -> Result<Vec<u8>, Refusal> {
        let length = self.left;
        let too_large =
            |found| Refusal::too_many("too_large", "bytes in the body of a request", most, found);
        if length > most {
            // Who waits to send it hears it now, others once they listen.
            if !self.waits && length <= most.saturating_mul(BEYOND) {
                self.each(end, |_| {})?;
            }
            return Err(too_large(length));
        }
        if self.waits && length > 0 {
            self.waits = false;
            self.client.write_until(b"HTTP/1.1 100 Continue\r\n\r\n", end);
        }
        let mut bytes = Vec::new();
        self.each(end, |part| bytes.extend_from_slice(part))?;
        Ok(bytes)
    }

    fn each(&mut self, end: Instant, mut part: impl FnMut(&[u8])) -> Result<(), Refusal> {
        while self.left > 0 {
            let read = &mut self.client.read;
            let count = usize::try_from(self.left).map_or(read.len(), |left| left.min(read.len()));
            if count > 0 {
                part(&read[..count]);
                read.drain(..count);
                self.left -= count as u64;
                continue;
            }
            let time = end.saturating_duration_since(Instant::now());
            if time.is_zero() {
                let message = "the body of the request takes too long";
                return Err(Refusal::new(408, "time", message));
            }
            if let Got::End = self.client.fill(time) {
                return Err(Refusal::new(400, "body", "the body of the request has ended early"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Cursor};

    use super::*;

    /// A client that sends these parts one by one, and keeps what it is told.
    struct Script {
        parts: Vec<Vec<u8>>,
        heard: Vec<u8>,
        waits: Cell<Duration>,
    }

    impl Read for Script {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.parts.is_empty() {
                return Ok(0);
            }
            let mut part = Cursor::new(self.parts.remove(0));
            let count = part.read(out)?;
            let rest = part.get_ref()[count..].to_vec();
            if !rest.is_empty() {
                self.parts.insert(0, rest);
            }
            Ok(count)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Never all at once.
            let count = bytes.len().min(100);
            self.heard.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Waits for Script {
        fn read_within(&self, time: Duration) -> io::Result<()> {
            self.waits.set(time);
            Ok(())
        }

        fn write_within(&self, _: Duration) -> io::Result<()> {
            Ok(())
        }

        fn end(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a client hears that sends these parts, of a service that sends bodies back.
    fn heard(parts: &[&str], most: u64) -> String {
        let parts = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        let waits = Cell::new(Duration::ZERO);
        let mut client = Client::new(Script { parts, heard: Vec::new(), waits });
        client.answer(&|| false, |head, body| {
            let end = Instant::now() + Duration::from_secs(5);
            match body.read(most, end) {
                Ok(bytes) => {
                    let text = format!("{} {} {:?} ", head.method, head.path, head.query);
                    Reply::new([text.into_bytes(), bytes].concat(), "text/plain")
                }
                Err(refusal) => refusal.into(),
            }
        });
        String::from_utf8(client.stream.heard).expect("text")
    }

    #[test]
    fn requests_follow_each_other_however_they_are_cut() {
        let text = "POST /a?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n\r\n";
        let whole = heard(&[text], 10);
        assert!(whole.contains("POST /a Some(\"x=1\") hello"), "{whole}");
        assert!(whole.ends_with("GET /b None "), "{whole}");
        for cut in 1..text.len() {
            assert_eq!(heard(&[&text[..cut], &text[cut..]], 10), whole, "{cut}");
        }
    }

    #[test]
    fn a_body_that_is_too_large_is_refused_and_ends_the_connection() {
        let text =
            "POST /a HTTP/1.1\r\nContent-Length: 12\r\n\r\nhello, worldGET /b HTTP/1.1\r\n\r\n";
        let found = heard(&[text], 10);
        assert!(found.starts_with("HTTP/1.1 413 "), "{found}");
        assert!(found.contains("expected at most 10 bytes in the body of a request, found 12"));
        // All of it was read, so that the next request can be.
        assert!(found.ends_with("GET /b None "), "{found}");
        let text = "POST /a HTTP/1.1\r\nContent-Length: 99999\r\n\r\nhelloGET /b HTTP/1.1\r\n\r\n";
        let found = heard(&[text], 10);
        assert!(found.starts_with("HTTP/1.1 413 ") && found.contains("Connection: close\r\n"));
        assert_eq!(found.matches("HTTP/1.1").count(), 1, "{found}");
    }

    #[test]
    fn a_client_that_waits_is_told_to_send_or_why_not() {
        let head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        let found = heard(&[head, "ok"], 10);
        assert!(found.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{found}");
        assert!(heard(&[head], 1).starts_with("HTTP/1.1 413 "));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(LONGEST + 1));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(FIELDS + 1));
        for (text, status) in [
            ("\u{1}\u{2}\r\n\r\n", 400),
            ("GET nowhere HTTP/1.1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
            (&long[..LONGEST + 10], 431),
            (&many, 431),
        ] {
            let found = heard(&[text], 100);
            assert!(found.starts_with(&format!("HTTP/1.1 {status} ")), "{text}: {found}");
        }
        assert_eq!(heard(&["GET / HT"], 100), "");
    }

    #[test]
    fn connections_are_kept_as_the_client_says() {
        let kept = |text: &str| {
            let (head, _) = Head::parse(text.as_bytes()).expect("valid").expect("whole");
            head.keep
        };
        assert!(kept("GET / HTTP/1.1\r\n\r\n"));
        assert!(!kept("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n"));
        assert!(!kept("GET / HTTP/1.0\r\n\r\n"));
        assert!(kept("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        let found = heard(&["HEAD / HTTP/1.1\r\n\r\n"], 1);
        assert!(found.contains("Content-Length: 12\r\n") && found.ends_with("\r\n\r\n"), "{found}");
    }

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        let local = |host: &str| Head { host: Some(host.into()), ..Head::default() }.is_local();
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.0.0.9", "[::1]:3", "[::1]"]
        {
            assert!(local(host), "{host}");
        }
        for host in ["example.org", "localhost.example.org:80", "10.0.0.1", "[::2]:80", ""] {
            assert!(!local(host), "{host}");
        }
        assert!(Head::default().is_local());
    }
}
