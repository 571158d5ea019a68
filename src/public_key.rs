//! The public key that EC2 Instance Connect is given: from a file, from ssh's agent, or one of ssh's default files.
//!
//! Public keys only: a private key is refused and never shown. It must not know AWS.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use ssm_net::files;
use tokio::{process::Command, time::timeout};

use crate::diagnostics::{Error, ExitStatus};

/// How long ssh's agent may take to name its keys. It answers within milliseconds; one that is forwarded over a dead
/// connection never does.
const AGENT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest file of a public key that is read, in bytes: some fifty times the largest RSA key's.
const MAX_FILE: usize = 256 << 10;
/// ssh's default keys, in ssh's own order of preference for new keys.
const DEFAULT_FILES: [&str; 3] = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];
/// The kinds of key that sshd can be given as text alone: no certificates, and none of a security key, for which
/// Instance Connect has no use.
const KINDS: [&str; 5] =
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

/// Where the key is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeySource {
    /// The first key of ssh's agent, or the first of ssh's default files.
    Auto,
    /// This file, in OpenSSH's one-line format.
    File(PathBuf),
}

impl From<&str> for KeySource {
    fn from(text: &str) -> Self {
        if text == "auto" { Self::Auto } else { Self::File(text.into()) }
    }
}

impl KeySource {
    /// The key as `KIND BASE64`, without its comment.
    ///
    /// # Errors
    /// Status 78 if there is none.
    pub async fn read(&self) -> Result<String, Error> {
        match self {
            Self::File(path) => read_file(path).await,
            Self::Auto => match from_agent().await {
                Some(key) => Ok(key),
                None => from_default_files().await.ok_or_else(no_key),
            },
        }
    }
}

async fn from_agent() -> Option<String> {
    // Without it ssh-add has nobody to ask; on Windows the agent is found without.
    if cfg!(unix) && env::var_os("SSH_AUTH_SOCK").is_none() {
        return None;
    }
    let mut command = Command::new("ssh-add");
    command.arg("-L").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let ended = timeout(AGENT_TIMEOUT, command.output()).await;
    let ended = ended.inspect_err(|_| tracing::info!("ssh's agent does not answer")).ok()?;
    let output = ended.inspect_err(|error| tracing::info!(%error, "ssh-add cannot be run")).ok()?;
    String::from_utf8_lossy(&output.stdout).lines().find_map(key_of)
}

async fn from_default_files() -> Option<String> {
    let folder = dirs::home_dir()?.join(".ssh");
    let find = move || {
        let mut texts = DEFAULT_FILES.iter().filter_map(|name| files::read_text(&folder.join(name), MAX_FILE).ok());
        texts.find_map(|text| text.lines().find_map(key_of))
    };
    files::in_time(find).await.inspect_err(|error| tracing::info!(%error, "ssh's default keys")).ok()?
}

async fn read_file(path: &Path) -> Result<String, Error> {
    let shown = path.display();
    let named = path.to_owned();
    let read = files::in_time(move || files::read_text(&named, MAX_FILE)).await;
    let text = read.and_then(|read| read).map_err(|cause| {
        let hint = "give --push-key the path of a public key, such as ~/.ssh/id_ed25519.pub, or auto";
        Error::new(ExitStatus::Config, format!("the public key {shown} cannot be read: {cause}"), hint)
    })?;
    if text.contains("PRIVATE KEY") {
        let hint = format!("give the public one: --push-key {shown}.pub");
        return Err(Error::new(ExitStatus::Config, format!("{shown} is a private key"), hint));
    }
    text.lines().find_map(key_of).ok_or_else(|| {
        let hint = "give the .pub file of an ed25519, RSA or ECDSA key; ssh-keygen -t ed25519 makes one";
        Error::new(ExitStatus::Config, format!("{shown} holds no public key that can be pushed"), hint)
    })
}

/// The key in a line of OpenSSH's format.
fn key_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    let is_base64 = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
    (KINDS.contains(&kind) && is_base64).then(|| format!("{kind} {key}"))
}

fn no_key() -> Error {
    let message =
        format!("there is no key to push: ssh's agent has none, and ~/.ssh has no {}", DEFAULT_FILES.join(", "));
    let hint = "ssh-keygen -t ed25519 makes a key, ssh-add gives one to the agent, --push-key FILE.pub names one";
    Error::new(ExitStatus::Config, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_key_without_its_comment() {
        assert_eq!(key_of("ssh-ed25519 AAAAC3+/= me@laptop and more").as_deref(), Some("ssh-ed25519 AAAAC3+/="));
        assert_eq!(key_of("  ecdsa-sha2-nistp256\tAAAA").as_deref(), Some("ecdsa-sha2-nistp256 AAAA"));
        for line in [
            "",
            "ssh-ed25519",
            "# ssh-ed25519 AAAA",
            "ssh-ed25519-cert-v01@openssh.com AAAA",
            "sk-ssh-ed25519@openssh.com AAAA",
            "ssh-dss AAAA",
            "ssh-rsa AA\"AA",
            "The agent has no identities.",
        ] {
            assert_eq!(key_of(line), None, "{line:?}");
        }
    }

    #[test]
    fn auto_is_no_file() {
        assert_eq!(KeySource::from("auto"), KeySource::Auto);
        assert_eq!(KeySource::from("./auto"), KeySource::File("./auto".into()));
    }
}
