//! Requests to a hub: who is told the token, what is asked again, and why a request fails.

use std::{io::Read, thread, time::Duration};

use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Request, Response, Uri},
};

use super::settings::{Settings, Token};
use crate::error::{Result, RunError};

/// How often a request is made that fails in a way that may pass.
const TRIES: u32 = 4;
/// How long it takes until the second; each next takes twice as long.
const PAUSE: Duration = Duration::from_millis(300);
/// The longest time that a server may ask to wait.
const LONGEST_PAUSE: u64 = 300;
/// How many redirections are followed.
const REDIRECTIONS: usize = 5;
/// The largest answer that is read into memory.
const LARGEST: u64 = 64 << 20;
/// How much of what a server says is shown.
const SHOWN: usize = 300;

/// A hub, and who asks.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    pub(super) endpoint: String,
    origin: Origin,
    token: Option<Token>,
    patience: Duration,
}

/// What is asked for.
pub(super) struct Ask<'a> {
    method: &'static str,
    url: String,
    content: Content<'a>,
    headers: Vec<(&'a str, &'a str)>,
}

/// What goes along with a request.
enum Content<'a> {
    None,
    Text(String, &'static str),
    Bytes(&'a [u8]),
}

impl<'a> Ask<'a> {
    pub(super) fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url, Content::None)
    }

    pub(super) fn put(url: impl Into<String>, bytes: &'a [u8]) -> Self {
        Self::new("PUT", url, Content::Bytes(bytes))
    }

    pub(super) fn post(url: impl Into<String>, value: &Value) -> Self {
        Self::post_text(url, value.to_string(), "application/json")
    }

    pub(super) fn post_text(url: impl Into<String>, text: String, kind: &'static str) -> Self {
        Self::new("POST", url, Content::Text(text, kind))
    }

    fn new(method: &'static str, url: impl Into<String>, content: Content<'a>) -> Self {
        Self { method, url: url.into(), content, headers: Vec::new() }
    }

    pub(super) fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What a server answers.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Of the hub itself, before it has sent on to another place.
    pub(super) first: HeaderMap,
    response: Response<Body>,
    /// Which server it is from, if it is not the hub.
    elsewhere: Option<String>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Of the hub itself.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.first.get(name)?.to_str().ok()
    }

    pub(super) fn is_html(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.starts_with("text/html"))
    }

    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn into_reader(self) -> impl Read {
        self.response.into_body().into_reader()
    }
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let wrong = || {
            let reason = "expected the address of a hub";
            RunError::hub(format!("`HF_ENDPOINT`, `{}`", settings.endpoint), reason)
        };
        let uri: Uri = settings.endpoint.parse().map_err(|_| wrong())?;
        let origin = Origin::of(&uri).ok_or_else(wrong)?;
        let mut config = Agent::config_builder()
            .timeout_connect(Some(settings.patience))
            .timeout_recv_response(Some(settings.patience))
            .timeout_per_read(Some(settings.patience))
            .timeout_per_write(Some(settings.patience))
            .user_agent(concat!("multivae/", env!("CARGO_PKG_VERSION")))
            // Whom to follow, and with the token, is decided here.
            .max_redirects(0)
            .http_status_as_error(false);
        if origin.is_local() {
            config = config.proxy(None);
        } else if origin.scheme == "http" && settings.token.is_some() {
            tracing::warn!("{} is not encrypted: who listens learns the token", settings.endpoint);
        }
        Ok(Self {
            agent: config.build().into(),
            endpoint: settings.endpoint.clone(),
            origin,
            token: settings.token.clone(),
            patience: settings.patience,
        })
    }

    /// An address on the hub.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    /// The token, which some requests need.
    pub(super) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Makes a request, again where that may help, and gives the answer, whatever its status;
    /// `place` is what it is about.
    pub(super) fn send(&self, ask: &Ask<'_>, place: &str) -> Result<Answer> {
        let mut made = 0;
        loop {
            made += 1;
            let last = made == TRIES;
            let pause = PAUSE * 2u32.pow(made - 1);
            match self.follow(ask, place)? {
                Ok(answer) if !passes(answer.status) => return Ok(answer),
                Ok(answer) => {
                    let asked =
                        answer.header("retry-after").and_then(|text| text.trim().parse().ok());
                    if last || asked.is_some_and(|seconds: u64| seconds > LONGEST_PAUSE) {
                        return Ok(answer);
                    }
                    tracing::info!("{place}: answer {}, asked again", answer.status);
                    thread::sleep(asked.map_or(pause, Duration::from_secs));
                }
                Err(error) if last => return Err(self.unreachable(&error, place)),
                Err(error) => {
                    tracing::info!("{place}: {}, asked again", self.failure(&error));
                    thread::sleep(pause);
                }
            }
        }
    }

    /// The same where only a good answer will do.
    pub(super) fn expect(&self, ask: &Ask<'_>, place: &str) -> Result<Answer> {
        let answer = self.send(ask, place)?;
        if answer.is_good() { Ok(answer) } else { Err(self.refusal(answer, place)) }
    }

    /// The same where the answer is JSON.
    pub(super) fn json(&self, ask: &Ask<'_>, place: &str) -> Result<Value> {
        let answer = self.expect(ask, place)?;
        self.read_json(answer, place)
    }

    /// The content of an answer as JSON.
    pub(super) fn read_json(&self, mut answer: Answer, place: &str) -> Result<Value> {
        let html = answer.is_html();
        let body = answer.response.body_mut().with_config().limit(LARGEST).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error, place))?;
        serde_json::from_slice(&body).map_err(|_| {
            let text = String::from_utf8_lossy(&body);
            let found = if html || looks_like_html(&text) { "HTML, as of a page" } else { "something else" };
            let from = answer.elsewhere.as_deref().unwrap_or(&self.endpoint);
            RunError::hub(
                place,
                format!(
                    "{from} answers {}: expected JSON, found {found}: {}; is it the address of a hub, \
                     and is there a proxy that asks for a name?",
                    answer.status,
                    self.clean(&text)
                ),
            )
        })
    }

    /// What a server says in an answer of any status.
    pub(super) fn text(&self, answer: &mut Answer) -> String {
        let body = answer.response.body_mut().with_config().limit(1 << 16).read_to_string();
        self.clean(&body.unwrap_or_default())
    }

    /// Follows redirections; the token goes to the hub only.
    fn follow(&self, ask: &Ask<'_>, place: &str) -> Result<Result<Answer, ureq::Error>> {
        let mut url = ask.url.clone();
        let mut first = None;
        let mut asked = None;
        for _ in 0..=REDIRECTIONS {
            let at: Option<Uri> = url.parse().ok();
            let Some((at, origin)) = at.and_then(|at| Some((at.clone(), Origin::of(&at)?))) else {
                return Err(RunError::hub(place, "the hub names an address that is none"));
            };
            if self.origin.scheme == "https" && origin.scheme == "http" {
                let reason =
                    format!("the hub sends on to {}, which is not encrypted", origin.shown());
                return Err(RunError::hub(place, reason));
            }
            let own = origin == self.origin;
            // Credentials that a hub hands out are for the server that it names.
            let same = *asked.get_or_insert_with(|| origin.clone()) == origin;
            let response = match self.once(ask, &url, own, same) {
                Ok(response) => response,
                Err(error) => return Ok(Err(error)),
            };
            let headers = response.headers();
            let first = first.get_or_insert_with(|| headers.clone());
            let status = response.status().as_u16();
            // Others would become requests of another kind.
            let followed = matches!(status, 307 | 308)
                || matches!(status, 301..=303) && matches!(ask.content, Content::None);
            let next = headers.get("location").and_then(|to| to.to_str().ok());
            match next.filter(|_| followed) {
                Some(next) => url = resolve(&at, next),
                None => {
                    let elsewhere = (!own).then(|| origin.shown());
                    return Ok(Ok(Answer { status, first: first.clone(), response, elsewhere }));
                }
            }
        }
        Err(RunError::hub(place, "the hub sends on from place to place, without an end"))
    }

    fn once(
        &self,
        ask: &Ask<'_>,
        url: &str,
        own: bool,
        same: bool,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::builder().method(ask.method).uri(url);
        // What is packed has other checksums and other places of its bytes.
        request = request.header("Accept-Encoding", "identity");
        let secret = |name: &str| name.eq_ignore_ascii_case("authorization");
        for (name, value) in ask.headers.iter().filter(|(name, _)| same || !secret(name)) {
            request = request.header(*name, *value);
        }
        let named = ask.headers.iter().any(|(name, _)| secret(name));
        if let Some(token) = self.token.as_ref().filter(|_| own && !named) {
            request = request.header("Authorization", format!("Bearer {}", token.value()));
        }
        match &ask.content {
            Content::None => self.agent.run(request.body(())?),
            Content::Text(text, kind) => {
                self.agent.run(request.header("Content-Type", *kind).body(text.as_str())?)
            }
            Content::Bytes(bytes) => self.agent.run(request.body(*bytes)?),
        }
    }

    /// Why an answer is no good one.
    pub(super) fn refusal(&self, mut answer: Answer, place: &str) -> RunError {
        let status = answer.status;
        let code = answer.first("x-error-code").unwrap_or_default().to_owned();
        let named = answer.header("x-error-message").map(str::to_owned);
        let asked = answer.header("retry-after").map(str::to_owned);
        let html = answer.is_html();
        let elsewhere = answer.elsewhere.clone();
        let body = self.text(&mut answer);
        let word = |value: &Value| {
            let one = value.get("error").or_else(|| value.get("message"))?;
            Some(one.as_str()?.to_owned())
        };
        let said = named.or_else(|| serde_json::from_str(&body).ok().as_ref().and_then(word));
        let said = match said {
            Some(said) => self.clean(&said),
            None if html || looks_like_html(&body) => "a page of HTML".to_owned(),
            None => body,
        };
        let token = self.token.as_ref().map(Token::origin);
        let advice = match (status, code.as_str(), token) {
            _ if elsewhere.is_some() => String::new(),
            (_, "GatedRepo", _) => "; ask for access on its page".to_owned(),
            (404, "RevisionNotFound", _) => "; it has no such revision".to_owned(),
            (404, "EntryNotFound", _) => "; it has no such file".to_owned(),
            (401, _, Some(origin)) => {
                format!("; the token of {origin} is not accepted, or there is no such repository")
            }
            (401 | 404, _, None) => {
                "; there is no such repository, or it is private: set `HF_TOKEN`".to_owned()
            }
            (404, _, Some(origin)) => {
                format!("; there is no such repository, or the token of {origin} may not see it")
            }
            (403, _, Some(origin)) => format!("; the token of {origin} has no right to do this"),
            (403, _, None) => "; set `HF_TOKEN`".to_owned(),
            _ => String::new(),
        };
        let wait = match (status, asked) {
            (429 | 503, Some(seconds)) => {
                format!("; it asks to wait for {} seconds", self.clean(&seconds))
            }
            _ => String::new(),
        };
        let from = elsewhere.unwrap_or_else(|| self.endpoint.clone());
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let reason = format!("{from} answers {status}{said}{advice}{wait}");
        if passes(status) {
            RunError::unreachable(place, reason)
        } else {
            RunError::hub(place, reason)
        }
    }

    /// Why there is no answer.
    pub(super) fn unreachable(&self, error: &ureq::Error, place: &str) -> RunError {
        let reason = format!("{} cannot be reached: {}", self.endpoint, self.failure(error));
        RunError::unreachable(place, reason)
    }

    /// An error in words, without addresses, which may hold signatures.
    fn failure(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => {
                format!("no answer within {} seconds", self.patience.as_secs())
            }
            ureq::Error::BadUri(_) => "the address is none".to_owned(),
            error => self.clean(&error.to_string()),
        }
    }

    /// The beginning of what a server says, in one line and without the token.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(token) = &self.token {
            text = text.replace(token.value(), "***");
        }
        text.retain(|c| !c.is_control());
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{} ..", &text[..end]),
            None => text,
        }
    }
}

/// Whether an answer says that another time may be better.
fn passes(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=504)
}

fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start().get(..9).unwrap_or_default().to_lowercase();
    start.starts_with("<!doctype") || start.starts_with("<html")
}

/// Where a redirection leads.
fn resolve(at: &Uri, next: &str) -> String {
    if next.starts_with('/') && !next.starts_with("//") {
        let authority = at.authority().map_or("", |authority| authority.as_str());
        return format!("{}://{authority}{next}", at.scheme_str().unwrap_or("https"));
    }
    next.to_owned()
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let (scheme, usual) = match uri.scheme_str()? {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return None,
        };
        // A user before an `@` would be part of what is sent.
        if uri.authority()?.as_str().contains('@') {
            return None;
        }
        let host = uri.host()?.to_lowercase();
        Some(Self { scheme, host, port: uri.port_u16().unwrap_or(usual) })
    }

    fn is_local(&self) -> bool {
        ["localhost", "127.0.0.1", "[::1]", "::1"].contains(&self.host.as_str())
    }

    /// For messages.
    fn shown(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// A part of a path in an address.
pub(super) fn escaped(part: &str) -> String {
    let mut text = String::new();
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            byte => text += &format!("%{byte:02X}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn client(endpoint: &str) -> Client {
        Client::new(&Settings {
            endpoint: endpoint.to_owned(),
            token: Some(Token::new("hf_secret", "`HF_TOKEN`").expect("valid")),
            implicit_token: true,
            cache: PathBuf::new(),
            offline: None,
            patience: Duration::from_secs(1),
        })
        .expect("an address")
    }

    #[test]
    fn what_a_server_says_is_shown_short_and_without_the_token() {
        let client = client("http://127.0.0.1:1");
        assert_eq!(client.clean("a\n  Bearer\thf_secret\u{7}"), "a Bearer ***");
        let long = client.clean(&"\u{e4}".repeat(1000));
        assert_eq!(long.chars().count(), SHOWN + 3);
        assert!(!format!("{client:?}").contains("hf_secret"));
    }

    #[test]
    fn another_port_scheme_or_host_is_another_server() {
        let origin = |text: &str| Origin::of(&text.parse().expect("an address"));
        let hub = origin("https://Hub.example/api").expect("an origin");
        assert_eq!(Some(&hub), origin("https://hub.example:443/x?y").as_ref());
        for other in ["http://hub.example", "https://hub.example:444", "https://hub.example.org"] {
            assert_ne!(Some(&hub), origin(other).as_ref(), "{other}");
        }
        assert_eq!(origin("https://hub.example@other.example/"), None);
        assert_eq!(origin("ftp://hub.example/"), None);
        assert_eq!(origin("/path"), None);
    }

    #[test]
    fn a_redirection_is_relative_to_the_server_or_names_another() {
        let at: Uri = "http://hub:80/a/b".parse().expect("an address");
        assert_eq!(resolve(&at, "/c?d"), "http://hub:80/c?d");
        assert_eq!(resolve(&at, "https://cdn/x"), "https://cdn/x");
        // Neither is followed: they are no whole addresses.
        for odd in ["//cdn/x", "x", "javascript:0"] {
            let next = resolve(&at, odd);
            assert!(next.parse::<Uri>().ok().and_then(|uri| Origin::of(&uri)).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_part_of_an_address_cannot_become_two() {
        assert_eq!(escaped("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(escaped("a b?c#d%\u{e4}"), "a%20b%3Fc%23d%25%C3%A4");
    }

    #[test]
    fn who_answers_with_a_page_is_no_hub() {
        assert!(
            looks_like_html("\n<!DOCTYPE html><title>") && looks_like_html("<html lang=\"x\">")
        );
        assert!(!looks_like_html("{}") && !looks_like_html(""));
    }
}
