//! Requests to a server, and why they fail.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use ureq::{Agent, Body, http::Response};

/// How long a connection may take, and a request.
const PATIENCE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];
/// The largest answer.
const LARGEST: u64 = 64 << 20;
/// How much of an answer is shown.
const SHOWN: usize = 300;

/// A server, and who asks.
pub(super) struct Server {
    agent: Agent,
    /// Without a slash at the end, and without credentials.
    address: String,
    authorisation: Option<String>,
}

/// Why a request failed. It never says with which credentials it was made.
#[derive(Debug)]
pub(super) struct Refused {
    /// What the server calls the error.
    pub(super) code: Option<String>,
    what: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refused {}

impl Server {
    /// # Errors
    ///
    /// If the address is none.
    pub(super) fn new(address: &str, credentials: &Credentials) -> Result<Self, String> {
        let expected = "expected the address of a server, http:// or https://";
        let Some((scheme, rest)) = address.trim().split_once("://") else {
            return Err(format!("`{address}`: {expected}"));
        };
        if !["http", "https"].contains(&scheme) {
            return Err(format!("`{scheme}://..`: {expected}"));
        }
        let end = rest.find('/').unwrap_or(rest.len());
        let (place, path) = rest.split_at(end);
        let (own, host) = match place.rsplit_once('@') {
            Some((own, host)) => (Some(own), host),
            None => (None, place),
        };
        let authorisation = match (own, credentials) {
            (Some(own), _) => Some(basic(own)),
            (None, Credentials::None) => None,
            (None, Credentials::Token(token)) => Some(format!("Bearer {token}")),
            (None, Credentials::User(name, password)) => Some(basic(&format!("{name}:{password}"))),
        };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let local = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
        let mut config = Agent::config_builder()
            .timeout_connect(Some(PATIENCE[0]))
            .timeout_global(Some(PATIENCE[1]))
            .user_agent(concat!("multivae/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false);
        if local {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().into(),
            address: format!("{scheme}://{host}{}", path.trim_end_matches('/')),
            authorisation,
        })
    }

    /// Where it is, without credentials.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Refused> {
        let mut request = self.agent.get(format!("{}{path}", self.address));
        for (key, value) in query {
            request = request.query(key, value);
        }
        if let Some(authorisation) = &self.authorisation {
            request = request.header("Authorization", authorisation);
        }
        self.read(path, request.call())
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        let mut request = self.agent.post(format!("{}{path}", self.address));
        if let Some(authorisation) = &self.authorisation {
            request = request.header("Authorization", authorisation);
        }
        let request = request.header("Content-Type", "application/json");
        self.read(path, request.send(body.to_string()))
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> Result<Value, Refused> {
        let mut request = self.agent.put(format!("{}{path}", self.address));
        if let Some(authorisation) = &self.authorisation {
            request = request.header("Authorization", authorisation);
        }
        let request = request.header("Content-Type", "application/octet-stream");
        self.read(path, request.send(bytes))
    }

    fn read(
        &self,
        path: &str,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Value, Refused> {
        let at = format!("`{}{path}`", self.address);
        let failed = |error: ureq::Error| Refused { code: None, what: format!("{at}: {error}") };
        let mut answer = answer.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_string();
        let body = body.map_err(failed)?;
        let json = serde_json::from_str::<Value>(&body).ok();
        if (200..300).contains(&status) {
            return json.ok_or_else(|| Refused {
                code: None,
                what: format!("{at} answers what is no JSON: {}", start(&body)),
            });
        }
        let word = |key: &str| json.as_ref()?.get(key)?.as_str().map(str::to_owned);
        let code = word("error_code");
        let message = word("message").unwrap_or(body);
        Err(Refused {
            what: format!(
                "{at} answers {status}{}: {}",
                code.as_ref().map_or(String::new(), |code| format!(" {code}")),
                start(&message)
            ),
            code,
        })
    }
}

/// Who asks.
pub(super) enum Credentials {
    None,
    User(String, String),
    Token(String),
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

fn start(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push_str(" ..");
    }
    short
}
