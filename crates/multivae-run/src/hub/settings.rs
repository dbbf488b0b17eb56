//! Where the hub is, who asks, and where what was brought is kept: as the Hub's own programs have
//! it, by variables of the environment.

use std::{env, fmt, fs, io, path::PathBuf, time::Duration};

use crate::error::{Result, RunError};

/// The Hub.
const HUB: &str = "https://huggingface.co";
/// How long a connection and the next bytes of an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks. It is never shown.
#[derive(Clone)]
pub struct Token {
    value: String,
    origin: String,
}

impl Token {
    /// Of a value, and where it comes from.
    ///
    /// # Errors
    ///
    /// [`RunError::Hub`] if it cannot be part of a request.
    pub fn new(value: &str, origin: impl Into<String>) -> Result<Self> {
        let (value, origin) = (value.trim(), origin.into());
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "expected a token, letters and digits in one line; found something else";
            return Err(RunError::hub(origin, reason));
        }
        Ok(Self { value: value.to_owned(), origin })
    }

    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// Where it comes from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token of {}", self.origin)
    }
}

/// Settings of a hub.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// Who asks.
    pub token: Option<Token>,
    /// Whether the token goes along where it is not needed.
    pub implicit_token: bool,
    /// Folder of what was brought.
    pub cache: PathBuf,
    /// The variable that forbids to ask a server, if one does.
    pub offline: Option<&'static str>,
    /// How long a connection and the next bytes of an answer may take.
    pub patience: Duration,
}

impl Settings {
    /// By `HF_ENDPOINT`; `HF_TOKEN` or the file at `HF_TOKEN_PATH` or in `HF_HOME`; `HF_HUB_CACHE`
    /// or `HF_HOME` or `XDG_CACHE_HOME`; `HF_HUB_OFFLINE`; `HF_HUB_DOWNLOAD_TIMEOUT`, in seconds.
    ///
    /// # Errors
    ///
    /// [`RunError::Hub`] for a variable that cannot be understood, [`RunError::Read`] for a file.
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(&|name| env::var(name).ok())
    }

    /// The same of other variables.
    ///
    /// # Errors
    ///
    /// As [`Settings::from_environment`].
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let is_on = |name: &str| {
            let value = get(name).unwrap_or_default().to_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        let user = get("HOME").or_else(|| get("USERPROFILE")).map(PathBuf::from);
        let path = |name: &str| {
            let value = get(name)?;
            Some(match (value.strip_prefix("~/"), &user) {
                (Some(rest), Some(user)) => user.join(rest),
                _ => PathBuf::from(value),
            })
        };
        let home = path("HF_HOME")
            .or_else(|| Some(path("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(user.as_ref()?.join(".cache").join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(home.as_ref()?.join("hub"))).ok_or_else(|| {
            RunError::hub(
                "`HF_HUB_CACHE`",
                "expected the folder of what was brought; found none, nor HOME",
            )
        })?;
        let patience = match get("HF_HUB_DOWNLOAD_TIMEOUT") {
            None => PATIENCE,
            Some(text) => match text.trim().parse::<u32>() {
                Ok(seconds) if seconds > 0 => Duration::from_secs(seconds.into()),
                _ => {
                    let reason = format!("expected whole seconds of at least 1, found `{text}`");
                    return Err(RunError::hub("`HF_HUB_DOWNLOAD_TIMEOUT`", reason));
                }
            },
        };
        let named = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter();
        let token = match named.into_iter().find_map(|name| Some((name, get(name)?))) {
            Some((name, value)) => Some(Token::new(&value, format!("`{name}`"))?),
            None => {
                let file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
                file.map(token_in).transpose()?.flatten()
            }
        };
        Ok(Self {
            endpoint: endpoint(&get("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned()))?,
            token,
            implicit_token: !is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN"),
            cache,
            offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
                .into_iter()
                .find(|name| is_on(name)),
            patience,
        })
    }
}

/// The token in a file, if there is one.
fn token_in(path: PathBuf) -> Result<Option<Token>> {
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Token::new(&text, format!("`{}`", path.display())).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(RunError::Read { path, cause }),
    }
}

/// An address of a hub, without a slash at the end.
fn endpoint(text: &str) -> Result<String> {
    let text = text.trim().trim_end_matches('/');
    // What stands before an `@` is a secret.
    let wrong = |found: &str| {
        let reason =
            "expected the address of a hub, http:// or https://, without a user and without `?`";
        RunError::hub(format!("`HF_ENDPOINT`, `{found}`"), reason)
    };
    let Some((scheme, rest)) = text.split_once("://") else { return Err(wrong("..")) };
    if !["http", "https"].contains(&scheme) || rest.contains('@') || rest.contains(['?', '#']) {
        return Err(wrong(&format!("{scheme}://..")));
    }
    match text.parse::<ureq::http::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(text.to_owned()),
        _ => Err(wrong(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::from_variables(&|name| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_the_hub_s_own_programs_have_it() {
        let cache = |variables: &[(&str, &str)]| of(variables).expect("valid").cache;
        let user = ("HOME", "/users/ada");
        assert_eq!(cache(&[user]), PathBuf::from("/users/ada/.cache/huggingface/hub"));
        assert_eq!(cache(&[user, ("XDG_CACHE_HOME", "/c")]), PathBuf::from("/c/huggingface/hub"));
        let home = ("HF_HOME", "~/hf");
        assert_eq!(
            cache(&[user, home, ("XDG_CACHE_HOME", "/c")]),
            PathBuf::from("/users/ada/hf/hub")
        );
        assert_eq!(cache(&[user, home, ("HF_HUB_CACHE", "/hub")]), PathBuf::from("/hub"));
        assert!(of(&[]).expect_err("nowhere").to_string().contains("HF_HUB_CACHE"));
    }

    #[test]
    fn a_token_comes_from_a_variable_or_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().to_str().expect("plain");
        let user = ("HOME", "/nowhere");
        assert!(of(&[user, ("HF_HOME", at)]).expect("none").token.is_none());
        fs::write(folder.path().join("token"), "hf_file\n").expect("writable");
        let found = of(&[user, ("HF_HOME", at)]).expect("valid");
        assert_eq!(found.token.as_ref().expect("in the file").value(), "hf_file");
        assert!(!format!("{found:?}").contains("hf_file"), "{found:?}");
        let path = folder.path().join("token");
        let path = ("HF_TOKEN_PATH", path.to_str().expect("plain"));
        assert_eq!(of(&[user, path]).expect("valid").token.expect("there").value(), "hf_file");
        let found = of(&[user, path, ("HF_TOKEN", " hf_named ")]).expect("valid").token;
        assert_eq!(found.expect("named").value(), "hf_named");
        let error = of(&[user, ("HF_TOKEN", "hf_a\nhf_b")]).expect_err("two lines").to_string();
        assert!(error.contains("`HF_TOKEN`") && !error.contains("hf_a"), "{error}");
    }

    #[test]
    fn an_endpoint_is_an_address_without_secrets() {
        let user = ("HOME", "/users/ada");
        let endpoint = |text| of(&[user, ("HF_ENDPOINT", text)]).map(|found| found.endpoint);
        assert_eq!(endpoint("http://127.0.0.1:80/hub/").expect("valid"), "http://127.0.0.1:80/hub");
        assert_eq!(endpoint("").expect("unset"), HUB);
        for wrong in ["hub.example", "ftp://hub", "https://", "https://a?b", "https://a b"] {
            assert!(endpoint(wrong).expect_err("no address").to_string().contains("HF_ENDPOINT"));
        }
        let error = endpoint("https://ada:secret@hub.example").expect_err("a user").to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_a_variable_says_is_understood_or_refused() {
        let user = ("HOME", "/users/ada");
        let offline = |name, value| of(&[user, (name, value)]).expect("valid").offline;
        assert_eq!(offline("HF_HUB_OFFLINE", "1"), Some("HF_HUB_OFFLINE"));
        assert_eq!(offline("TRANSFORMERS_OFFLINE", "true"), Some("TRANSFORMERS_OFFLINE"));
        assert_eq!(offline("HF_HUB_OFFLINE", "0"), None);
        let patience = |value| of(&[user, ("HF_HUB_DOWNLOAD_TIMEOUT", value)]).map(|s| s.patience);
        assert_eq!(patience("2").expect("valid"), Duration::from_secs(2));
        assert!(patience("0").is_err() && patience("soon").is_err());
    }
}
