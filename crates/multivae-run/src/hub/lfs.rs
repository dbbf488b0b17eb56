//! Large files, sent as Git LFS sends them: a list of checksums, to which the hub answers where each
//! content is to be put.

use serde_json::{Value, json};

use super::{
    Progress,
    client::{Ask, Client},
    listing::Sum,
    place::{Place, Repository},
};
use crate::error::{Result, RunError};

/// The form of requests and answers.
const KIND: &str = "application/vnd.git-lfs+json";
/// Where the Hub says that its own things are, whatever address it was asked at.
const HUB: &str = "https://huggingface.co/";

impl Client {
    /// Sends contents that the hub does not have yet. None of them is part of a repository before it
    /// is named in a commit.
    pub(super) fn upload(
        &self,
        repository: &Repository,
        files: &[(&str, &[u8])],
        progress: Progress<'_>,
    ) -> Result<()> {
        let sums: Vec<_> = files.iter().map(|(_, content)| Sum::sha256(content)).collect();
        let objects: Vec<_> = files
            .iter()
            .zip(&sums)
            .map(|((_, content), sum)| json!({"oid": sum.digits(), "size": content.len()}))
            .collect();
        let asked = json!({
            "operation": "upload",
            "transfers": ["basic"],
            "objects": objects,
            "hash_algo": "sha256",
            "ref": {"name": Place::MAIN},
        });
        let url = self.url(&format!("/{repository}.git/info/lfs/objects/batch"));
        let ask = Ask::post_text(url, asked.to_string(), KIND).header("Accept", KIND);
        let answer = self.json(&ask, &format!("`{repository}`, large files"))?;
        let listed = answer.get("objects").and_then(Value::as_array);
        for ((name, content), sum) in files.iter().zip(&sums) {
            let shown = format!("`{repository}`, `{name}`");
            let wrong = |reason: String| RunError::hub(&shown, reason);
            let is_it =
                |object: &&Value| object.get("oid").and_then(Value::as_str) == Some(sum.digits());
            let Some(object) = listed.and_then(|objects| objects.iter().find(is_it)) else {
                return Err(wrong("the hub does not say where its content is to be put".into()));
            };
            if let Some(error) = object.get("error") {
                let said = error.get("message").and_then(Value::as_str).unwrap_or_default();
                let code = error.get("code").map(Value::to_string).unwrap_or_default();
                return Err(wrong(format!(
                    "the hub does not take it: {} {code}",
                    self.clean(said)
                )));
            }
            let action = |name: &str| object.get("actions")?.get(name);
            progress(name, 0, content.len() as u64);
            // Without an action it is there already.
            if let Some(upload) = action("upload") {
                self.put(upload, content, &shown)?;
            }
            if let Some(verify) = action("verify") {
                let body = json!({"oid": sum.digits(), "size": content.len()}).to_string();
                let (url, headers) = self.target(verify, &shown)?;
                let ask = Ask::post_text(url, body, KIND).header("Accept", KIND);
                self.expect(&with(ask, &headers), &shown)?;
            }
            progress(name, content.len() as u64, content.len() as u64);
        }
        Ok(())
    }

    fn put(&self, action: &Value, content: &[u8], shown: &str) -> Result<()> {
        let (url, headers) = self.target(action, shown)?;
        if headers.iter().any(|(name, _)| name == "chunk_size") {
            let reason = "the hub wants it in parts, which is for files of more than 5 GB and is not done here";
            return Err(RunError::hub(shown, reason));
        }
        self.expect(&with(Ask::put(url, content), &headers), shown)?;
        Ok(())
    }

    /// Where an action is to go, and with what.
    fn target(&self, action: &Value, shown: &str) -> Result<(String, Vec<(String, String)>)> {
        let Some(url) = action.get("href").and_then(Value::as_str) else {
            let reason = "expected `href`, where its content is to be put; found none";
            return Err(RunError::hub(shown, reason));
        };
        let url = match url.strip_prefix(HUB) {
            Some(path) => self.url(&format!("/{path}")),
            None => url.to_owned(),
        };
        let headers = action.get("header").and_then(Value::as_object);
        let headers = headers.into_iter().flatten().map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), value)
        });
        Ok((url, headers.collect()))
    }
}

fn with<'a>(ask: Ask<'a>, headers: &'a [(String, String)]) -> Ask<'a> {
    headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value))
}
